// A trunk as it is saved: its gates have the experts that exist, and no others.
//
//   const SavedTrunk saved = SavedTrunk::of(trunk, census.retired);
//   format_config(saved.config());   write(saved.parameters());   write(saved.steered());
//
//   AGORA_ASSIGN_OR_RETURN(SavedTrunk back, SavedTrunk::like(trunk, experts, config_of_the_folder));
//   read(back.parameters(), back.steered());   back.put_back();
//
// A swarm's gates have room for experts to come (model::with_room) and closed ones, which other programs do
// not know. In the folder a layer's open experts are numbered 0, 1, ... in ascending order of their numbers
// in the swarm. Where layers have different counts, all are as large as the largest, and none is smaller than
// what a gate chooses: what is missing is closed, with numbers of 0. Only then, and while an expert is being
// let in, does the folder have entry biases. Gates are copied, everything else is the trunk's own. Borrows
// the trunk. One thread at a time.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "agora/model/model.h"
#include "agora/swarm/host/held_experts.h"

namespace agora::train {

class SavedTrunk {
 public:
  using Experts = std::vector<std::vector<ExpertId>>;  // [L] the open ones, ascending

  // retired: closed too, whatever the trunk says: no step may have come since.
  static SavedTrunk of(model::Model& trunk, const std::set<swarm::ExpertName>& retired);
  // Zeros, to be read into. FailedPrecondition: the experts do not fit the trunk, or the folder's config.
  static StatusOr<SavedTrunk> like(model::Model& trunk, Experts experts, const model::ModelConfig& folder);

  const model::ModelConfig& config() const { return config_; }
  const Experts& experts() const { return experts_; }
  int64_t experts_in_folder() const { return config_.gate.experts; }  // of each layer
  const std::vector<tensor::Parameter*>& parameters() const { return parameters_; }
  const std::vector<tensor::Parameter*>& steered() const { return steered_; }

  // Into the trunk; experts that the folder does not have are closed there. The caller packs anew.
  void put_back();

 private:
  // A gate's parameter and what is saved of it.
  struct Part {
    tensor::Parameter* whole;
    std::unique_ptr<tensor::Parameter> saved;
    std::vector<int32_t> rows;  // of the saved one: which of the whole; -1: of an expert that is missing
  };

  SavedTrunk(model::Model& trunk, Experts experts, const model::ModelConfig& config);
  std::vector<int32_t> rows_of(LayerId layer, int64_t end) const;
  void cut(tensor::Parameter* whole, LayerId layer, int64_t end);

  model::Model& trunk_;
  Experts experts_;
  model::ModelConfig config_;
  std::map<const tensor::Parameter*, Part> parts_;
  std::vector<tensor::Parameter*> parameters_, steered_;
};

}  // namespace agora::train
