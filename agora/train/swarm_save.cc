#include "agora/train/swarm_save.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "agora/base/awaited.h"
#include "agora/base/until_stopped.h"
#include "agora/swarm/census.h"
#include "agora/swarm/host/snapshot.h"
#include "agora/swarm/trunk_exchange.h"
#include "agora/swarm/wire/blob.h"
#include "agora/swarm/wire/method.h"
#include "agora/train/run_folder.h"
#include "agora/train/saved_trunk.h"
#include "agora/weights/atomic_file.h"

namespace agora::train {
namespace {

using swarm::ExpertName;
using tensor::Parameter;
using tensor::ParameterView;
using weights::TensorSpec;

constexpr int64_t kCursorNs = 2 * base::kSecondNs;
constexpr int kPullsMax = 3;                          // rounds over an expert's hosts
constexpr int64_t kBetweenPullsNs = base::kSecondNs;  // doubled each time: a host may have all its copies out
constexpr int64_t kCoveredNs = 5 * base::kSecondNs;   // for the directory to show a leader of every expert
constexpr size_t kCursorBytes = 16;

StatusOr<peers::Payload> pull_from(const SwarmToSave& swarm, const swarm::Candidate& host,
                                   ExpertName expert) {
  auto bytes =
      std::make_shared<base::Awaited<StatusOr<peers::Payload>>>();  // the transport's until it has called
  const auto bytes_max = static_cast<uint64_t>(swarm::snapshot_bytes_max(swarm.spec.shape));
  const peers::CallSettings settings{.to = host.peer,
                                     .at = host.endpoint,
                                     .method = swarm::kGetSnapshot,
                                     .priority = peers::Priority::background,
                                     .deadline_ns = swarm.loop.now_ns() + swarm::blob_ns_max(bytes_max)};
  swarm::fetch_blob(swarm.transport, swarm.loop, settings, swarm::snapshot_key(expert), bytes_max,
                    [bytes](StatusOr<peers::Payload> came) { bytes->bring(std::move(came)); });
  return bytes->wait();
}

// Its leader's, or that of the freshest replica that answers.
StatusOr<peers::Payload> pull_expert_once(const SwarmToSave& swarm, ExpertName expert) {
  std::vector<swarm::Candidate> hosts = swarm.finder.candidates(expert);
  std::ranges::sort(hosts, [](const swarm::Candidate& a, const swarm::Candidate& b) {
    return std::tuple(b.leads, b.version, a.peer) < std::tuple(a.leads, a.version, b.peer);
  });
  Status last = absl::UnavailableError("no host in the directory holds it");
  for (const swarm::Candidate& host : hosts) {
    auto bytes = pull_from(swarm, host, expert);
    if (bytes.ok()) return bytes;
    last = bytes.status();
  }
  return absl::UnavailableError(
      absl::StrCat("saving the swarm: ", swarm::expert_path(expert), " can not be had: ", last.ToString()));
}

// A finder that was made a moment ago has not heard of the hosts yet, an expert may be on its way from one to
// another: the swarm is asked again before it is said not to have it.
StatusOr<peers::Payload> pull_expert(const SwarmToSave& swarm, ExpertName expert) {
  StatusOr<peers::Payload> bytes;
  for (int round = 0; round < kPullsMax; ++round) {
    const Status covered = swarm.finder.wait_until_covered(swarm.spec.layers, swarm.spec.experts,
                                                           swarm.loop.now_ns() + kCoveredNs);
    bytes = pull_expert_once(swarm, expert);
    if (bytes.ok()) break;
    if (!covered.ok())
      bytes = absl::UnavailableError(absl::StrCat(bytes.status().message(), "; ", covered.message()));
    if (round + 1 < kPullsMax) base::UntilStopped(swarm.loop).rest(kBetweenPullsNs << round);
  }
  return bytes;
}

std::map<std::string, Rng::State> pull_cursors(const SwarmToSave& swarm) {
  using Answer = base::Awaited<std::optional<Rng::State>>;
  std::map<std::string, std::shared_ptr<Answer>> answers;
  for (const swarm::TrunkSource& trainer : swarm::trunk_sources(swarm.directory.records())) {
    if (!trainer.trainer) continue;
    auto answer = answers[trainer.peer.text()] = std::make_shared<Answer>();
    swarm.transport.call({.to = trainer.peer,
                          .at = trainer.endpoint,
                          .method = swarm::kGetCursor,
                          .priority = peers::Priority::background,
                          .deadline_ns = swarm.loop.now_ns() + kCursorNs},
                         {}, [answer](const peers::Reply& reply) {
                           const base::Bytes bytes = reply.payload.bytes();
                           if (!reply.status.ok() || bytes.size() != kCursorBytes) return answer->bring({});
                           answer->bring(Rng::State{base::load_le<uint64_t>(bytes.data()),
                                                    base::load_le<uint64_t>(bytes.data() + 8)});
                         });
  }
  std::map<std::string, Rng::State> cursors;
  for (const auto& [trainer, answer] : answers) {
    if (const auto cursor = answer->wait()) cursors[trainer] = *cursor;
  }
  return cursors;
}

// The two tensor files, written side by side; first announced, then filled in the same order.
class Writers {
 public:
  void announce(const std::vector<ParameterView>& trained) {
    for (const ParameterView& p : trained) announce_fixed(p);
    moments_.announce(trained);
  }
  void announce_fixed(const ParameterView& p) {
    std::vector<int64_t> shape{p.value.cols};
    if (p.rank == 2) shape.insert(shape.begin(), p.value.rows);
    value_specs_.push_back({p.name, tensor::DType::f32, shape});
  }
  Status open(const std::string& dir) {
    AGORA_ASSIGN_OR_RETURN(values_, weights::WeightFolderWriter::create(
                                        dir, value_specs_, weights::kShardBytesMax, {{"format", "pt"}}));
    return moments_.open(dir);
  }

  Status add(const std::vector<ParameterView>& trained) {
    for (const ParameterView& p : trained) AGORA_RETURN_IF_ERROR(add_fixed(p));
    return moments_.add(trained);
  }
  Status add_fixed(const ParameterView& p) { return values_->add(p.name, p.value); }
  Status finish() {
    AGORA_RETURN_IF_ERROR(values_->finish());
    return moments_.finish();
  }

 private:
  std::vector<TensorSpec> value_specs_;
  std::unique_ptr<weights::WeightFolderWriter> values_;
  MomentsWriter moments_;
};

// Where an expert of the folder comes from.
struct FolderExpert {
  ExpertName in_folder;
  std::optional<ExpertName> in_swarm;  // none: its layer has fewer experts than others; zeros stand there
};

std::vector<FolderExpert> experts_of(const SavedTrunk& trunk) {
  std::vector<FolderExpert> all;
  for (size_t l = 0; l < trunk.experts().size(); ++l) {
    const LayerId layer(static_cast<int64_t>(l));
    const std::vector<ExpertId>& there = trunk.experts()[l];
    for (size_t i = 0; i < static_cast<size_t>(trunk.experts_in_folder()); ++i) {
      FolderExpert expert{.in_folder = {layer, ExpertId(static_cast<int64_t>(i))}, .in_swarm = {}};
      if (i < there.size()) expert.in_swarm = ExpertName{layer, there[i]};
      all.push_back(expert);
    }
  }
  return all;
}

StatusOr<swarm::ManifestExpert> write_expert(const SwarmToSave& swarm, ExpertName name, ExpertName in_folder,
                                             Writers& writers) {
  AGORA_ASSIGN_OR_RETURN(const peers::Payload bytes, pull_expert(swarm, name));
  AGORA_ASSIGN_OR_RETURN(const swarm::Snapshot snapshot, swarm::Snapshot::open(bytes.bytes()));
  if (snapshot.head().name != name) {
    return absl::DataLossError(absl::StrCat("saving the swarm: asked for ", swarm::expert_path(name),
                                            ", got ", swarm::expert_path(snapshot.head().name)));
  }
  moe::Expert expert(swarm.spec.shape, tensor::Train::yes);
  AGORA_RETURN_IF_ERROR(snapshot.load(expert));
  AGORA_RETURN_IF_ERROR(writers.add(expert.parameters(swarm::expert_path(in_folder))));
  return swarm::ManifestExpert{.name = name,
                               .epoch = snapshot.head().epoch,
                               .version = snapshot.head().version,
                               .sha256 = weights::sha256_hex(bytes.bytes()),
                               .saved_as = in_folder.expert,
                               .learning_rate = snapshot.head().learning_rate};
}

StatusOr<std::vector<swarm::ManifestExpert>> write_tensors(const SwarmToSave& swarm, const SavedTrunk& trunk,
                                                           const std::string& dir) {
  const std::vector<FolderExpert> experts = experts_of(trunk);
  Writers writers;
  writers.announce(tensor::views_of(trunk.parameters()));
  moe::Expert outline(swarm.spec.shape, tensor::Train::no);
  for (const FolderExpert& expert : experts) {
    writers.announce(outline.parameters(swarm::expert_path(expert.in_folder)));
  }
  for (Parameter* bias : trunk.steered()) writers.announce_fixed(*bias);
  AGORA_RETURN_IF_ERROR(writers.open(dir));

  AGORA_RETURN_IF_ERROR(writers.add(tensor::views_of(trunk.parameters())));
  std::vector<swarm::ManifestExpert> written;
  for (const FolderExpert& expert : experts) {
    if (!expert.in_swarm) {
      moe::Expert zeros(swarm.spec.shape, tensor::Train::yes);
      AGORA_RETURN_IF_ERROR(writers.add(zeros.parameters(swarm::expert_path(expert.in_folder))));
      continue;
    }
    AGORA_ASSIGN_OR_RETURN(swarm::ManifestExpert of_swarm,
                           write_expert(swarm, *expert.in_swarm, expert.in_folder, writers));
    written.push_back(std::move(of_swarm));
  }
  for (Parameter* bias : trunk.steered()) AGORA_RETURN_IF_ERROR(writers.add_fixed(*bias));
  AGORA_RETURN_IF_ERROR(writers.finish());
  return written;
}

}  // namespace

Status save_swarm(const SwarmToSave& swarm, const std::string& dir) {
  AGORA_ASSIGN_OR_RETURN(auto folder, weights::AtomicFolder::create(dir, swarm::kManifestFile));
  swarm::Manifest manifest;
  manifest.swarm = swarm.spec.id().text();
  manifest.trunk = swarm.version;
  manifest.step = static_cast<uint64_t>(swarm.state.step);
  manifest.cursors = pull_cursors(swarm);
  manifest.cursors[swarm.transport.self().text()] = swarm.state.cursor;
  const swarm::Census census = swarm::take_census(swarm.directory.records(), swarm.spec);
  manifest.retired.assign(census.retired.begin(), census.retired.end());
  const SavedTrunk trunk = SavedTrunk::of(swarm.trunk, census.retired);
  AGORA_ASSIGN_OR_RETURN(manifest.experts, write_tensors(swarm, trunk, folder->path()));
  AGORA_RETURN_IF_ERROR(weights::write_file_atomic(absl::StrCat(folder->path(), "/", model::kConfigFile),
                                                   model::format_config(trunk.config())));
  if (swarm.tokenizer != nullptr) AGORA_RETURN_IF_ERROR(swarm.tokenizer->save(folder->path()));
  AGORA_RETURN_IF_ERROR(write_run_state(swarm.state, folder->path()));
  AGORA_RETURN_IF_ERROR(
      weights::write_file_atomic(folder->path() + swarm::kManifestFile, swarm::format_manifest(manifest)));
  return folder->commit();
}

void serve_cursor(peers::Transport& transport, std::function<Rng::State()> cursor) {
  transport.serve(swarm::kGetCursor,
                  [cursor = std::move(cursor)](const std::shared_ptr<peers::IncomingCall>& call) {
                    const Rng::State at = cursor();
                    std::vector<std::byte> bytes(kCursorBytes);
                    base::store_le(at.state, bytes.data());
                    base::store_le(at.increment, bytes.data() + 8);
                    call->reply(absl::OkStatus(), peers::Payload::own(std::move(bytes)));
                  });
}

}  // namespace agora::train
