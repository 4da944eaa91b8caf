#include "agora/swarm/trunk.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "agora/base/check.h"
#include "agora/swarm/wire/message.h"

namespace agora::swarm {
namespace {

constexpr const char* kName = "trunk";
constexpr size_t kContributionBytes = 32 + 32 + 8;
constexpr uint64_t kRoundsMax = uint64_t{1} << 48;  // a round a second takes longer than the sun has
constexpr size_t kHeadBytes = 1 + kTrunkVersionBytes + 8 + 32 + 4 + 8 + 1;  // and the contributions
static_assert(kHeadBytes + kContributorsMax * kContributionBytes <= kTrunkHeadBytesMax);
static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie in memory");

base::Bytes bytes_of(const std::vector<float>& numbers) { return std::as_bytes(std::span(numbers)); }

// The count has been checked against what is there.
std::vector<float> read_numbers(base::ByteReader& in, uint64_t count) {
  base::Bytes bytes;
  std::vector<float> numbers(count);
  AGORA_CHECK(in.take(count * sizeof(float), &bytes));
  if (count > 0) std::memcpy(numbers.data(), bytes.data(), bytes.size());  // nothing lies nowhere
  return numbers;
}

void update(weights::Sha256& hash, const tensor::Parameter& p) {
  hash.update(base::as_bytes(absl::StrCat(p.name, " ", p.value.rows(), " ", p.value.cols(), "\n")));
}

}  // namespace

void put_version(const TrunkVersion& version, MessageWriter& out) {
  out.put(version.round);
  out.put(version.contributors);
  out.put_bytes(version.decider.bytes);
  out.put(version.rows);
}

bool read_trunk_version(base::ByteReader& in, TrunkVersion* version) {
  return in.read_le(&version->round) && in.read_le(&version->contributors) &&
         read_array(in, &version->decider.bytes) && in.read_le(&version->rows);
}

peers::Payload encode(const TrunkSnapshot& snapshot) {
  AGORA_CHECK_LE(snapshot.contributions.size(), kContributorsMax);
  MessageWriter out(kHeadBytes + kContributionBytes * snapshot.contributions.size() +
                    bytes_of(snapshot.values).size() + bytes_of(snapshot.momentum).size());
  out.put(kTrunkWireVersion);
  put_version(snapshot.version, out);
  out.put(snapshot.step);
  out.put_bytes(std::as_bytes(std::span(snapshot.layout)));
  out.put(static_cast<uint32_t>(snapshot.contributions.size()));
  for (const LastContribution& last : snapshot.contributions) {
    out.put_bytes(last.owner.bytes);
    out.put_bytes(std::as_bytes(std::span(last.hash)));
    out.put(last.round);
  }
  out.put(static_cast<uint64_t>(snapshot.values.size()));
  out.put(static_cast<uint8_t>(snapshot.momentum.empty() ? 0 : 1));
  out.put_bytes(bytes_of(snapshot.values));
  out.put_bytes(bytes_of(snapshot.momentum));
  return std::move(out).done();
}

StatusOr<TrunkSnapshot> read_trunk(base::Bytes bytes) {
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kName, kTrunkWireVersion));
  TrunkSnapshot snapshot;
  uint32_t contributions = 0;
  if (!read_trunk_version(in, &snapshot.version) || !in.read_le(&snapshot.step) ||
      !read_array(in, &snapshot.layout) || !in.read_le(&contributions)) {
    return too_short(kName);
  }
  if (snapshot.version.round >= kRoundsMax) return malformed(kName, "its round is beyond all reason");
  if (contributions > kContributorsMax) return malformed(kName, "it has more than 64 contributions");
  snapshot.contributions.resize(contributions);
  for (LastContribution& last : snapshot.contributions) {
    if (!read_array(in, &last.owner.bytes) || !read_array(in, &last.hash) || !in.read_le(&last.round)) {
      return too_short(kName);
    }
  }
  uint64_t count = 0;
  uint8_t momentum = 0;
  if (!in.read_le(&count) || !in.read_le(&momentum)) return too_short(kName);
  if (count > kTrunkNumbersMax || momentum > 1 || in.remaining() != count * sizeof(float) * (1 + momentum)) {
    return malformed(kName, absl::StrCat("it claims ", count, " numbers and has ", in.remaining(), " bytes"));
  }
  snapshot.values = read_numbers(in, count);
  if (momentum == 1) snapshot.momentum = read_numbers(in, count);
  return snapshot;
}

TrunkLayout::TrunkLayout(std::vector<tensor::Parameter*> learned,
                         const std::vector<tensor::Parameter*>& steered)
    : parameters_(std::move(learned)) {
  for (const tensor::Parameter* p : parameters_) learned_ += p->value.flat().size();
  parameters_.insert(parameters_.end(), steered.begin(), steered.end());
  weights::Sha256 hash;
  for (const tensor::Parameter* p : parameters_) {
    size_ += p->value.flat().size();
    update(hash, *p);
  }
  digest_ = hash.finish();
}

std::vector<float> TrunkLayout::in_order(Numbers of, size_t count) const {
  std::vector<float> numbers;
  numbers.reserve(count);
  for (const tensor::Parameter* p : parameters_) {
    const auto flat = (p->*of).flat();
    numbers.insert(numbers.end(), flat.begin(), flat.end());
  }
  AGORA_CHECK_EQ(numbers.size(), count);
  return numbers;
}

void TrunkLayout::put(Numbers of, std::span<const float> numbers) {
  for (tensor::Parameter* p : parameters_) {
    const auto flat = (p->*of).flat();
    std::copy_n(numbers.begin(), flat.size(), flat.begin());
    numbers = numbers.subspan(flat.size());
  }
}

std::vector<float> TrunkLayout::values() const { return in_order(&tensor::Parameter::value, size_); }

void TrunkLayout::set_values(std::span<const float> values) {
  AGORA_CHECK_EQ(values.size(), size_);
  put(&tensor::Parameter::value, values);
}

std::vector<float> TrunkLayout::first_moments() const {
  return in_order(&tensor::Parameter::first, learned_);
}

std::vector<float> TrunkLayout::second_moments() const {
  return in_order(&tensor::Parameter::second, learned_);
}

Status TrunkLayout::load_moments(std::span<const float> first, std::span<const float> second) {
  if (first.size() != learned_ || second.size() != learned_) {
    return absl::FailedPreconditionError(absl::StrCat("the moments of a trunk: expected ", learned_,
                                                      " of either kind, found ", first.size(), " and ",
                                                      second.size()));
  }
  put(&tensor::Parameter::first, first);
  put(&tensor::Parameter::second, second);
  return absl::OkStatus();
}

Status TrunkLayout::load(const TrunkSnapshot& snapshot) {
  if (snapshot.layout != digest_ || snapshot.values.size() != size_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "trunk of round ", snapshot.version.round, ": expected one of ", size_,
        " numbers with this model's names and shapes, found another model's with ", snapshot.values.size()));
  }
  const auto finite = [](float number) { return std::isfinite(number); };
  if (!std::ranges::all_of(snapshot.values, finite) || !std::ranges::all_of(snapshot.momentum, finite)) {
    return absl::DataLossError(
        absl::StrCat("trunk of round ", snapshot.version.round, ": a number in it is not finite"));
  }
  set_values(snapshot.values);
  return absl::OkStatus();
}

}  // namespace agora::swarm
