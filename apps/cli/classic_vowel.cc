#include "apps/cli/classic_vowel.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agora/base/text.h"
#include "agora/moe/classic/competitive.h"
#include "agora/moe/classic/hierarchical.h"
#include "agora/moe/classic/localised.h"
#include "agora/moe/classic/scaling.h"
#include "agora/train/csv.h"

namespace agora::cli {

namespace classic = moe::classic;

namespace {

constexpr int kVowels = 11;
constexpr int64_t kRowsPerSpeaker = kVowels * 6;

StatusOr<Examples> read_rows(const std::string& path) {
  AGORA_ASSIGN_OR_RETURN(const train::CsvTable table, train::read_csv(path));
  AGORA_ASSIGN_OR_RETURN(const int64_t y, table.number_column("y"));
  std::vector<int64_t> inputs;
  for (const train::Column& column : table.columns) {
    if (!column.name.starts_with("x.")) continue;
    AGORA_ASSIGN_OR_RETURN(const int64_t c, table.number_column(column.name));
    inputs.push_back(c);
  }
  Examples rows{.x = Matrix(table.rows, static_cast<int64_t>(inputs.size())), .classes = kVowels};
  for (int64_t n = 0; n < table.rows; ++n) {
    const float label = table.at(n, y);
    if (!(label >= 1 && label <= kVowels && label == std::floor(label))) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": row ", n + 1, " has y = ", label,
                                                     "; expected a vowel's number, 1 to ", kVowels));
    }
    rows.label.push_back(static_cast<int32_t>(label) - 1);
    for (int64_t i = 0; i < rows.width(); ++i) rows.x(n, i) = table.at(n, inputs[i]);
  }
  const Status status = classic::validate(rows);
  if (!status.ok()) return base::about(path, status);
  return rows;
}

struct Member {
  Matrix answer;
  Matrix responsibility;
  int64_t parameters = 0;
};

// What every kind of mixture answers once it is trained.
template <class Mixture>
Member ask(const Mixture& mixture, const Examples& test) {
  return {mixture.predict(test.x), mixture.explain(test).responsibility, mixture.parameters()};
}

classic::MixtureShape shape_of(const ClassicModel& model) {
  const bool network = model.method == ClassicMethod::network;
  return {.experts = network ? 1 : model.experts,
          .expert_hidden = model.hidden,
          .loss = model.method == ClassicMethod::cooperative ? classic::Loss::cooperative
                                                             : classic::Loss::competitive};
}

StatusOr<Member> by_gradient(const ClassicModel& model, const Examples& train, const Examples& test,
                             Rng rng) {
  AGORA_ASSIGN_OR_RETURN(auto mixture, classic::CompetitiveMixture::make(train, shape_of(model), rng));
  const classic::GradientSettings settings{.search = {.iterations_max = model.iterations, .tolerance = 1e-5},
                                           .expert_decay = model.expert_decay,
                                           .gate_decay = model.gate_decay};
  AGORA_RETURN_IF_ERROR(mixture.fit(train, settings).status());
  return ask(mixture, test);
}

template <class Mixture>
StatusOr<Member> by_em(Mixture mixture, const ClassicModel& model, const Examples& train,
                       const Examples& test) {
  const classic::EmSettings settings{.expert = {.ridge = model.expert_decay, .steps_max = 2},
                                     .gate = {.ridge = model.gate_decay, .steps_max = 2},
                                     .iterations_max = model.iterations,
                                     .tolerance = 1e-5};
  AGORA_RETURN_IF_ERROR(mixture.fit(train, settings).status());
  return ask(mixture, test);
}

StatusOr<Member> train_member(const ClassicModel& model, const Examples& train, const Examples& test,
                              Rng rng) {
  if (model.method == ClassicMethod::tree) {
    AGORA_ASSIGN_OR_RETURN(auto tree,
                           classic::HierarchicalMixture::make(train, {.branching = model.branching}, rng));
    return by_em(std::move(tree), model, train, test);
  }
  if (model.method == ClassicMethod::localised) {
    const classic::RegionShape shape{model.experts, model.region_width, model.region_strength};
    AGORA_ASSIGN_OR_RETURN(auto mixture, classic::LocalisedMixture::make(train, shape, rng));
    return by_em(std::move(mixture), model, train, test);
  }
  return by_gradient(model, train, test, rng);
}

}  // namespace

StatusOr<VowelData> read_vowels(const std::string& folder) {
  const std::filesystem::path path(folder);
  AGORA_ASSIGN_OR_RETURN(Examples train, read_rows(path / "vowel.train"));
  AGORA_ASSIGN_OR_RETURN(Examples test, read_rows(path / "vowel.test"));
  if (train.width() != test.width()) {
    return absl::InvalidArgumentError(absl::StrCat(folder, ": vowel.train has ", train.width(),
                                                   " columns x.*, vowel.test has ", test.width()));
  }
  return VowelData{std::move(train), std::move(test)};
}

StatusOr<Answers> train_and_answer(const ClassicModel& model, const Examples& train, const Examples& test,
                                   uint64_t seed) {
  if (model.members < 1) return absl::InvalidArgumentError("--members must be at least 1");
  AGORA_ASSIGN_OR_RETURN(const auto scaling, classic::Scaling::centre(train));
  Examples seen = train;
  Examples unseen = test;
  seen.x = scaling.apply(train.x);
  unseen.x = scaling.apply(test.x);
  Answers answers;
  for (int member = 0; member < model.members; ++member) {
    AGORA_ASSIGN_OR_RETURN(Member m, train_member(model, seen, unseen, Rng(seed).fork(member)));
    if (member == 0) {
      answers = {m.answer, Matrix(m.answer.rows, m.answer.cols), std::move(m.responsibility), m.parameters};
    }
    classic::add_scaled(1.0 / model.members, m.answer.values, answers.committee.values);
  }
  return answers;
}

StatusOr<ClassicModel> equal_network(const ClassicModel& mixture, ClassicModel network,
                                     const Examples& train) {
  ClassicModel sizing = mixture;
  sizing.members = 1;
  sizing.iterations = 0;
  AGORA_ASSIGN_OR_RETURN(const Answers sized, train_and_answer(sizing, train, train, 0));
  // hidden * (inputs + 1 + outputs) + outputs parameters in all
  const auto per_unit = static_cast<double>(train.width() + 1 + train.outputs());
  network.method = ClassicMethod::network;
  const double units = static_cast<double>(sized.parameters - train.outputs()) / per_unit;
  network.hidden = std::max(1, static_cast<int>(std::lround(units)));
  return network;
}

StatusOr<std::vector<VowelData>> speaker_folds(const Examples& train) {
  const int64_t speakers = train.rows() / kRowsPerSpeaker;
  if (speakers < 2 || train.rows() % kRowsPerSpeaker != 0) {
    return absl::InvalidArgumentError(absl::StrCat("leaving speakers out needs ", kRowsPerSpeaker,
                                                   " rows for each of two or more speakers; vowel.train has ",
                                                   train.rows(), " rows"));
  }
  std::vector<VowelData> folds;
  for (int64_t speaker = 0; speaker < speakers; ++speaker) {
    std::vector<int64_t> in, out;
    for (int64_t n = 0; n < train.rows(); ++n) (n / kRowsPerSpeaker == speaker ? out : in).push_back(n);
    folds.push_back({classic::select(train, in), classic::select(train, out)});
  }
  return folds;
}

}  // namespace agora::cli
