#include "apps/cli/training_summary.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iostream>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/serve/generate.h"
#include "agora/tensor/buffer.h"
#include <nlohmann/json.hpp>

#include "apps/cli/explain_gather.h"
#include "apps/cli/json_line.h"
#include "apps/cli/terminal_device.h"
#include "apps/cli/terminal_table.h"
#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kSampleTokens = 160;
constexpr int64_t kPromptTokens = 16;
constexpr int64_t kMeterRows = 65536;  // of validation data that the table of experts is made from
constexpr int64_t kExpertsShown = 3;   // of each layer and domain

// The highest resident size that the operating system saw, in bytes; 0 where it does not say.
int64_t resident_peak() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return 1024 * std::strtoll(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

struct Memory {
  tensor::MemoryCount count = tensor::memory_count();
  int64_t resident = resident_peak();

  int64_t peak(tensor::Purpose purpose) const { return count.bytes_peak[static_cast<size_t>(purpose)]; }
  // What training can not do without: everything but scratch.
  int64_t needed() const {
    return peak(tensor::Purpose::weight) + peak(tensor::Purpose::optimizer) +
           peak(tensor::Purpose::activation) + peak(tensor::Purpose::gradient);
  }
  double ratio() const {
    return needed() == 0 ? 0 : static_cast<double>(resident) / static_cast<double>(needed());
  }
};

std::string megabytes(int64_t bytes) { return absl::StrFormat("%.0f MB", static_cast<double>(bytes) / 1e6); }

void print_memory() {
  const Memory memory;
  std::cout << absl::StrFormat(
      "Memory: weights %s, optimizer %s, activations %s, gradients %s; peak of the process %s, %.2fx their "
      "sum\n",
      megabytes(memory.peak(tensor::Purpose::weight)), megabytes(memory.peak(tensor::Purpose::optimizer)),
      megabytes(memory.peak(tensor::Purpose::activation)), megabytes(memory.peak(tensor::Purpose::gradient)),
      megabytes(memory.resident), memory.ratio());
}

double bits_per_byte(const train::Score& score) {
  return score.bytes == 0 ? 0 : score.loss_sum / std::log(2.0) / static_cast<double>(score.bytes);
}

Json json_of(const train::Score& score) {
  Json json{{"name", score.name},
            {"loss", score.loss()},
            {"perplexity", score.perplexity()},
            {"answers", score.answers},
            {"wrong", score.wrong}};
  if (score.bytes > 0) json["bits_per_byte"] = bits_per_byte(score);
  return json;
}

void print_table(const train::Evaluation& evaluation, bool classes) {
  TerminalTable table({{"domain"},
                       {"loss", Align::right},
                       {classes ? "error" : "perplexity", Align::right},
                       {classes ? "" : "bits/byte", Align::right},
                       {classes ? "images" : "tokens", Align::right}});
  const auto add = [&](const train::Score& s) {
    if (s.answers == 0) return table.add_row({s.name, "-", "-", "", "0"});
    table.add_row(
        {s.name, absl::StrFormat("%.4f", s.loss()),
         classes ? absl::StrFormat("%.2f %%", 100 * s.error()) : absl::StrFormat("%.2f", s.perplexity()),
         classes || s.bytes == 0 ? "" : absl::StrFormat("%.3f", bits_per_byte(s)),
         with_thousands(s.answers)});
  };
  for (const train::Score& score : evaluation.domains) add(score);
  if (evaluation.domains.size() > 1) add(evaluation.total);
  std::cout << table.text(inspect_terminal(STDOUT_FILENO).columns);
}

std::string strongest(const train::LayerSpecialisation& layer, int64_t domain) {
  std::vector<int64_t> experts(static_cast<size_t>(layer.mass_share.rows));
  std::iota(experts.begin(), experts.end(), 0);
  std::ranges::sort(experts, [&](int64_t a, int64_t b) {
    return layer.mass_share.at(a, domain) > layer.mass_share.at(b, domain);
  });
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(experts.size(), kExpertsShown); ++i) {
    absl::StrAppendFormat(&text, "%s%d:%.0f%%", i == 0 ? "" : " ", experts[i],
                          100 * layer.mass_share.at(experts[i], domain));
  }
  return text;
}

Status print_experts(const SummarySubject& subject, const train::Task& task, int columns) {
  const model::ModelConfig& config = subject.model.config();
  if (config.gate.candidates() < 2) return absl::OkStatus();
  AGORA_ASSIGN_OR_RETURN(
      const train::Specialisation all,
      specialisation_of(subject.model, subject.pass.compute, task, kMeterRows, subject.seed));
  std::vector<TableColumn> titles{{"domain"}};
  for (size_t l = 0; l < all.layers.size(); ++l) titles.push_back({absl::StrCat("layer ", l)});
  TerminalTable table(titles);
  for (size_t d = 0; d < task.domains().size(); ++d) {
    std::vector<std::string> row{task.domains()[d].name};
    for (const train::LayerSpecialisation& layer : all.layers)
      row.push_back(strongest(layer, static_cast<int64_t>(d)));
    table.add_row(row);
  }
  std::cout << "\nWhich experts serve which domain (expert:share of the gate's weight)\n"
            << table.text(columns);
  return absl::OkStatus();
}

Status print_sample(const SummarySubject& subject, const train::Task& task) {
  model::LocalModel& local = subject.model;
  if (local.tokenizer == nullptr) return absl::OkStatus();
  const std::vector<model::Batch> some = task.validation(0, 1);
  if (some.empty()) return absl::OkStatus();
  const auto length = std::min<int64_t>(kPromptTokens, some[0].length);
  std::vector<int32_t> prompt(some[0].tokens.begin(), some[0].tokens.begin() + length);
  serve::SamplerSettings sampler{.temperature = 0.8f, .top_p = 0.95f};
  AGORA_ASSIGN_OR_RETURN(
      const auto generation,
      serve::Generation::start(*local.model, subject.pass, std::move(prompt), sampler, kSampleTokens));
  for (int64_t i = 0; i < kSampleTokens; ++i) AGORA_RETURN_IF_ERROR(generation->next().status());
  const std::span<const int32_t> tokens = generation->tokens();
  std::cout << "\nA sample (the first " << length << " tokens were given):\n"
            << visible_lines(local.tokenizer->decode(tokens)) << "\n";
  return absl::OkStatus();
}

}  // namespace

StatusOr<train::Evaluation> measure(model::Model& model, const model::Pass& pass, const train::Task& task,
                                    int64_t rows_short, const Interrupt& interrupt) {
  constexpr char kClearLine[] = "\r\x1b[K";
  const bool shows = inspect_terminal(STDERR_FILENO).in_place;
  int shown = -1;
  const auto watch = [&](double done) {
    const int percent = static_cast<int>(100 * done);
    if (shows && percent != shown) {
      std::cerr << kClearLine
                << absl::StrFormat("Measuring on validation data: %d %%; Ctrl-C: on a part of it", percent)
                << std::flush;
      shown = percent;
    }
    return !interrupt.load();
  };
  StatusOr<train::Evaluation> evaluation = absl::CancelledError("nobody waits for all of it");
  if (!interrupt.load()) evaluation = train::evaluate(model, pass, task, 0, watch);
  if (shown >= 0) std::cerr << kClearLine << std::flush;
  if (!absl::IsCancelled(evaluation.status())) return evaluation;
  return train::evaluate(model, pass, task, rows_short);
}

Status print_model_summary(const SummarySubject& subject, const train::Task& task,
                           const train::Evaluation& evaluation) {
  AGORA_RETURN_IF_ERROR(print_sample(subject, task));
  std::cout << "\n";
  print_evaluation(evaluation, subject.model.config().head == model::HeadKind::classes, /*json=*/false);
  return print_experts(subject, task, inspect_terminal(STDOUT_FILENO).columns);
}

Status print_summary(train::Trainer& trainer, const train::Task& task, const RunResult& result) {
  const bool classes = trainer.model().config().head == model::HeadKind::classes;
  AGORA_RETURN_IF_ERROR(print_model_summary({trainer.model(), trainer.pass(), trainer.state().options.seed},
                                            task, result.evaluation));
  std::cout << absl::StrFormat("\n%d steps in %s, %s rows/s\n", result.steps, duration_text(result.seconds),
                               with_thousands(static_cast<int64_t>(result.rows_per_second)));
  print_memory();
  std::cout << "The model is in " << result.dir << ". Next:\n"
            << (classes ? "" : absl::StrCat("  build/agora ask ", result.dir, " \"int main(\"\n"))
            << "  build/agora explain " << result.dir << (classes ? " --data DIR\n" : " \"int main(\"\n");
  return absl::OkStatus();
}

Json evaluation_json(const train::Evaluation& evaluation) {
  Json domains = Json::array();
  for (const train::Score& score : evaluation.domains) domains.push_back(json_of(score));
  return {{"total", json_of(evaluation.total)}, {"domains", domains}};
}

void print_evaluation(const train::Evaluation& evaluation, bool classes, bool json) {
  if (json) {
    std::cout << json_line(evaluation_json(evaluation)) << "\n";
  } else {
    print_table(evaluation, classes);
  }
}

Json memory_json() {
  const Memory memory;
  return {{"weights", memory.peak(tensor::Purpose::weight)},
          {"optimizer", memory.peak(tensor::Purpose::optimizer)},
          {"activations", memory.peak(tensor::Purpose::activation)},
          {"gradients", memory.peak(tensor::Purpose::gradient)},
          {"scratch", memory.peak(tensor::Purpose::scratch)},
          {"resident_peak", memory.resident},
          {"train_memory_ratio", memory.ratio()}};
}

}  // namespace agora::cli
