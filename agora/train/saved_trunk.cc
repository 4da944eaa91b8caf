#include "agora/train/saved_trunk.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace agora::train {
namespace {

using tensor::Parameter;

// Packed or not.
std::vector<ExpertId> open_experts(const moe::Gate& gate) {
  std::vector<ExpertId> open;
  for (int32_t e = 0; e < gate.descriptor().experts; ++e) {
    const bool closed = gate.entry_bias() != nullptr && !(gate.entry_bias()->value.flat()[e] > moe::kClosed);
    if (!closed) open.push_back(ExpertId{e});
  }
  return open;
}

// A candidate's part: a matrix's row, or a vector's number.
std::span<float> row_of(tensor::Buffer<float>& numbers, int rank, int64_t row) {
  const auto length = static_cast<size_t>(rank == 2 ? numbers.cols() : 1);
  return numbers.flat().subspan(static_cast<size_t>(row) * length, length);
}

template <class Copy>
void for_each_row(Parameter& whole, Parameter& saved, const std::vector<int32_t>& rows, Copy copy) {
  for (const auto member : {&Parameter::value, &Parameter::first, &Parameter::second}) {
    if ((whole.*member).empty()) continue;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (rows[i] < 0) continue;
      copy(row_of(whole.*member, whole.rank, rows[i]),
           row_of(saved.*member, saved.rank, static_cast<int64_t>(i)));
    }
  }
}

bool let_in_wholly(model::Model& trunk, const SavedTrunk::Experts& experts) {
  for (size_t l = 0; l < experts.size(); ++l) {
    const Parameter* entry = trunk.block(LayerId(static_cast<int64_t>(l))).mixture().gate().entry_bias();
    if (entry == nullptr) continue;
    for (const ExpertId e : experts[l]) {
      if (entry->value.flat()[e.value] < 0.0f) return false;
    }
  }
  return true;
}

}  // namespace

SavedTrunk SavedTrunk::of(model::Model& trunk, const std::set<swarm::ExpertName>& retired) {
  const moe::GateDescriptor& gate = trunk.config().gate;
  const int64_t no_call = gate.candidates() - gate.experts;
  Experts experts;
  auto most = static_cast<size_t>(std::max<int64_t>(gate.chosen - no_call, 1));
  for (int64_t l = 0; l < trunk.config().num_hidden_layers; ++l) {
    const moe::Gate& of_layer = trunk.block(LayerId{l}).mixture().gate();
    experts.push_back(open_experts(of_layer));
    if (of_layer.entry_bias() != nullptr) {  // else it chooses what is retired too
      std::erase_if(experts.back(), [&](ExpertId e) { return retired.contains({LayerId{l}, e}); });
    }
    most = std::max(most, experts.back().size());
  }
  const bool even =
      std::ranges::all_of(experts, [&](const auto& of_layer) { return of_layer.size() == most; });
  model::ModelConfig config = trunk.config();
  config.gate.experts = static_cast<int64_t>(most);
  config.gate.entry_bias = !even || !let_in_wholly(trunk, experts);
  SavedTrunk saved(trunk, std::move(experts), config);
  for (auto& [whole, part] : saved.parts_) {
    for_each_row(*part.whole, *part.saved, part.rows,
                 [](std::span<float> from, std::span<float> to) { std::ranges::copy(from, to.begin()); });
  }
  return saved;
}

StatusOr<SavedTrunk> SavedTrunk::like(model::Model& trunk, Experts experts,
                                      const model::ModelConfig& folder) {
  const auto refuse = [](const auto&... words) {
    return absl::FailedPreconditionError(absl::StrCat("the saved trunk: ", words...));
  };
  const auto layers = static_cast<size_t>(trunk.config().num_hidden_layers);
  if (experts.size() != layers) return refuse("expected ", layers, " layers, found ", experts.size());
  for (const std::vector<ExpertId>& of_layer : experts) {
    if (std::ssize(of_layer) > folder.gate.experts || !std::ranges::is_sorted(of_layer)) {
      return refuse("its manifest has ", of_layer.size(), " experts in a layer, its config.json ",
                    folder.gate.experts);
    }
    if (!of_layer.empty() && of_layer.back().value >= trunk.config().gate.experts) {
      return refuse("it has expert ", of_layer.back().value, ", this swarm's gates have room for ",
                    trunk.config().gate.experts);
    }
  }
  model::ModelConfig config = trunk.config();
  config.gate.experts = folder.gate.experts;
  config.gate.entry_bias = folder.gate.entry_bias;
  return SavedTrunk(trunk, std::move(experts), config);
}

SavedTrunk::SavedTrunk(model::Model& trunk, Experts experts, const model::ModelConfig& config)
    : trunk_(trunk), experts_(std::move(experts)), config_(config) {
  for (int64_t l = 0; l < config.num_hidden_layers; ++l) {
    moe::Gate& gate = trunk.block(LayerId{l}).mixture().gate();
    std::vector<Parameter*> by_candidate;
    gate.append_parameters(by_candidate);
    if (gate.selection_bias() != nullptr) by_candidate.push_back(gate.selection_bias());
    for (Parameter* whole : by_candidate) cut(whole, LayerId{l}, config.gate.candidates());
    if (gate.entry_bias() != nullptr) cut(gate.entry_bias(), LayerId{l}, config.gate.experts);
  }
  const auto saved_of = [this](Parameter* whole) {
    const auto part = parts_.find(whole);
    return part == parts_.end() ? whole : part->second.saved.get();
  };
  for (Parameter* p : trunk.parameters()) parameters_.push_back(saved_of(p));
  for (Parameter* p : trunk.selection_biases()) {
    const bool entry = p->name.ends_with("entry_bias");
    if (!entry || config.gate.entry_bias) steered_.push_back(saved_of(p));
  }
}

// Of the folder's candidates below `end`: the experts, what is missing, what needs no call.
std::vector<int32_t> SavedTrunk::rows_of(LayerId layer, int64_t end) const {
  std::vector<int32_t> rows;
  for (const ExpertId e : experts_[static_cast<size_t>(layer.value)]) rows.push_back(e.value);
  rows.resize(static_cast<size_t>(config_.gate.experts), -1);
  const int64_t shift = trunk_.config().gate.experts - config_.gate.experts;
  for (int64_t c = config_.gate.experts; c < end; ++c) rows.push_back(static_cast<int32_t>(c + shift));
  return rows;
}

void SavedTrunk::cut(Parameter* whole, LayerId layer, int64_t end) {
  const tensor::Train train = whole->trained() ? tensor::Train::yes : tensor::Train::no;
  Part part{.whole = whole, .saved = {}, .rows = rows_of(layer, end)};
  const auto rows = static_cast<int64_t>(part.rows.size());
  part.saved = std::make_unique<Parameter>(
      whole->rank == 2 ? Parameter::matrix(whole->name, rows, whole->value.cols(), train)
                       : Parameter::vector(whole->name, rows, train));
  if (whole == trunk_.block(layer).mixture().gate().entry_bias()) {
    for (size_t i = 0; i < part.rows.size(); ++i) {
      part.saved->value.flat()[i] = part.rows[i] < 0 ? moe::kClosed : 0.0f;
    }
  }
  parts_.emplace(whole, std::move(part));
}

void SavedTrunk::put_back() {
  for (int64_t l = 0; l < config_.num_hidden_layers; ++l) {
    Parameter* entry = trunk_.block(LayerId{l}).mixture().gate().entry_bias();
    if (entry != nullptr) std::ranges::fill(entry->value.flat(), moe::kClosed);
  }
  for (auto& [whole, part] : parts_) {
    for_each_row(*part.whole, *part.saved, part.rows,
                 [](std::span<float> to, std::span<float> from) { std::ranges::copy(from, to.begin()); });
  }
}

}  // namespace agora::train
