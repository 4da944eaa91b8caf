#include "apps/cli/classic.h"

#include <cmath>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/thread_pool.h"
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "apps/cli/machine.h"

namespace agora::cli {
namespace {

constexpr int kSeedsMax = 10000;

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Of the sample (n - 1); 0 for a single value.
double deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0.0;
  double squares = 0.0;
  for (const double v : values) squares += (v - mean(values)) * (v - mean(values));
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

// Trains on every part and every seed; a score is the mean over the parts, as all are of one size.
StatusOr<ClassicScores> score(const ClassicModel& model, const std::vector<VowelData>& parts, int seeds,
                              base::ThreadPool& pool) {
  const auto count = static_cast<int64_t>(parts.size());
  std::vector<Status> status(seeds * count);
  std::vector<double> single(seeds * count), committee(seeds * count);
  std::vector<int64_t> parameters(seeds * count);
  pool.run(seeds * count, [&](int64_t i) {
    const VowelData& part = parts[i % count];
    const auto answers = train_and_answer(model, part.train, part.test, i / count);
    status[i] = answers.status();
    if (!answers.ok()) return;
    single[i] = moe::classic::accuracy(answers->single, part.test);
    committee[i] = moe::classic::accuracy(answers->committee, part.test);
    parameters[i] = answers->parameters;
  });
  for (const Status& s : status) AGORA_RETURN_IF_ERROR(s);
  ClassicScores scores{parameters[0], model.hidden, {}, {}};
  for (int64_t seed = 0; seed < seeds; ++seed) {
    const auto begin = seed * count;
    scores.single.push_back(std::accumulate(&single[begin], &single[begin] + count, 0.0) / count);
    scores.committee.push_back(std::accumulate(&committee[begin], &committee[begin] + count, 0.0) / count);
  }
  return scores;
}

StatusOr<Matrix> expert_by_class(ClassicModel model, const VowelData& data) {
  model.members = 1;
  AGORA_ASSIGN_OR_RETURN(const Answers answers, train_and_answer(model, data.train, data.test, 0));
  Matrix share(answers.responsibility.cols, data.test.classes);
  std::vector<double> count(data.test.classes, 0.0);
  for (const int32_t label : data.test.label) count[label] += 1.0;
  for (int64_t n = 0; n < data.test.rows(); ++n) {
    const int32_t label = data.test.label[n];
    for (int64_t e = 0; e < share.rows; ++e) share(e, label) += answers.responsibility(n, e) / count[label];
  }
  return share;
}

nlohmann::json scores_json(const ClassicScores& scores) {
  const auto summary = [](const std::vector<double>& values) {
    return nlohmann::json{{"mean", mean(values)}, {"deviation", deviation(values)}, {"seeds", values}};
  };
  return {{"parameters", scores.parameters},
          {"hidden", scores.hidden},
          {"single", summary(scores.single)},
          {"committee", summary(scores.committee)}};
}

void print_json(const ClassicOptions& options, const ClassicReport& report) {
  nlohmann::json experts = nlohmann::json::array();
  for (int64_t e = 0; e < report.expert_by_class.rows; ++e) {
    const auto row = report.expert_by_class.row(e);
    experts.push_back(std::vector<double>(row.begin(), row.end()));
  }
  const nlohmann::json out{{"recipe", options.recipe},
                           {"rows", options.cross_validate ? "training speakers left out" : "test"},
                           {"members", options.model.members},
                           {"mixture", scores_json(report.mixture)},
                           {"network", scores_json(report.network)},
                           {"expert_by_class", experts}};
  std::cout << out.dump() << "\n";
}

void print_text(const ClassicOptions& options, const ClassicReport& report) {
  const ClassicScores& m = report.mixture;
  const ClassicScores& n = report.network;
  std::cout << (options.cross_validate ? "Right on training speakers left out in turn, %\n"
                                       : "Right on the test speakers, %\n");
  std::cout << absl::StrFormat("mixture: %d parameters; network: %d, %d units; committees of %d each\n\n",
                               m.parameters, n.parameters, n.hidden, options.model.members);
  std::cout << "  seed  mixture  committee of mixtures   network  committee of networks\n";
  const auto line = [](const std::string& name, double a, double b, double c, double d) {
    std::cout << absl::StrFormat("%6s  %7.1f  %21.1f   %7.1f  %21.1f\n", name, 100 * a, 100 * b, 100 * c,
                                 100 * d);
  };
  for (size_t s = 0; s < m.single.size(); ++s) {
    line(absl::StrCat(s), m.single[s], m.committee[s], n.single[s], n.committee[s]);
  }
  line("mean", mean(m.single), mean(m.committee), mean(n.single), mean(n.committee));
  line("dev.", deviation(m.single), deviation(m.committee), deviation(n.single), deviation(n.committee));
  if (report.expert_by_class.rows == 0) return;
  std::cout << "\nWho answers for which vowel (mean responsibility of seed 0's first mixture, %):\n";
  for (int64_t e = 0; e < report.expert_by_class.rows; ++e) {
    std::cout << absl::StrFormat("expert %2d:", e);
    for (const double share : report.expert_by_class.row(e))
      std::cout << absl::StrFormat(" %3.0f", 100 * share);
    std::cout << "\n";
  }
}

Status run_and_print(const ClassicOptions& options, bool json) {
  AGORA_ASSIGN_OR_RETURN(const ClassicReport report, run_classic(options));
  json ? print_json(options, report) : print_text(options, report);
  return absl::OkStatus();
}

}  // namespace

StatusOr<ClassicReport> run_classic(const ClassicOptions& options) {
  if (options.recipe != "vowel") {
    return absl::InvalidArgumentError(absl::StrCat("--recipe: expected vowel, got ", options.recipe));
  }
  if (options.seeds < 1 || options.seeds > kSeedsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("--seeds: expected 1 to ", kSeedsMax, ", got ", options.seeds));
  }
  AGORA_ASSIGN_OR_RETURN(const int threads, thread_count(options.threads));
  AGORA_ASSIGN_OR_RETURN(const VowelData data, read_vowels(options.data));
  std::vector<VowelData> parts{data};
  if (options.cross_validate) {
    AGORA_ASSIGN_OR_RETURN(parts, speaker_folds(data.train));
  }
  base::ThreadPool pool(threads);
  ClassicModel network = options.model;
  network.expert_decay = options.network_decay;
  network.iterations = options.network_iterations;
  AGORA_ASSIGN_OR_RETURN(network, equal_network(options.model, network, data.train));
  ClassicReport report;
  AGORA_ASSIGN_OR_RETURN(report.mixture, score(options.model, parts, options.seeds, pool));
  AGORA_ASSIGN_OR_RETURN(report.network, score(network, parts, options.seeds, pool));
  if (!options.cross_validate) {
    AGORA_ASSIGN_OR_RETURN(report.expert_by_class, expert_by_class(options.model, data));
  }
  return report;
}

void add_classic_command(CLI::App& app, CommandResult& result) {
  struct Flags {
    ClassicOptions options;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  ClassicOptions& o = flags->options;
  static const std::map<std::string, ClassicMethod> kMethods{{"competitive", ClassicMethod::competitive},
                                                             {"cooperative", ClassicMethod::cooperative},
                                                             {"tree", ClassicMethod::tree},
                                                             {"localised", ClassicMethod::localised}};
  CLI::App* c =
      app.add_subcommand("classic", "Train the mixtures of 1991-1995 beside a network of equal size");
  c->option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  c->add_option("--recipe", o.recipe, "vowel");
  c->add_option("--data", o.data, "folder with vowel.train and vowel.test")->required();
  c->add_option("--method", o.model.method, "competitive, cooperative, tree (EM) or localised (EM)")
      ->transform(CLI::CheckedTransformer(kMethods));
  c->add_option("--experts", o.model.experts, "experts of each mixture (tree: see --branching)");
  c->add_option("--branching", o.model.branching, "tree: branches of each level's gates, root first, as 2,2")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  c->add_option("--hidden", o.model.hidden, "units of each expert; 0: linear (EM's always are)");
  c->add_option("--region-width", o.model.region_width, "localised: prior deviation of a region");
  c->add_option("--region-strength", o.model.region_strength, "localised: rows that this prior is worth");
  c->add_option("--expert-decay", o.model.expert_decay, "ridge on the experts' weights");
  c->add_option("--gate-decay", o.model.gate_decay, "ridge on the gate's weights");
  c->add_option("--network-decay", o.network_decay, "ridge on the single network's weights");
  c->add_option("--iterations", o.model.iterations, "of L-BFGS or of EM, at most");
  c->add_option("--network-iterations", o.network_iterations, "of L-BFGS for the single network, at most");
  c->add_option("--members", o.model.members, "mixtures (and networks) whose answers a committee averages");
  c->add_option("--seeds", o.seeds, "trials");
  c->add_option("--threads", o.threads, "0: one per processor; the answers do not depend on it");
  c->add_flag("--cross-validate", o.cross_validate,
              "leave training speakers out; do not look at the test rows");
  c->add_flag("--json", flags->json, "one JSON object instead of tables");
  c->callback([flags, &result] { result.exit_code = report(run_and_print(flags->options, flags->json)); });
}

}  // namespace agora::cli
