// A training run on disk: the model's folder with the state of training in it.
//
//   AGORA_RETURN_IF_ERROR(save_run(state, model, "runs/machine_text"));   // whole, or the old one stays
//   AGORA_ASSIGN_OR_RETURN(TrainState state, read_run_state("runs/machine_text"));
//   AGORA_ASSIGN_OR_RETURN(LocalModel model, load_run("runs/machine_text", compute));
//
// training_state.json: options, counters, data cursor. optimizer.safetensors: both moments of every parameter
// ("first:NAME", "second:NAME"). One writer at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agora/train/trainer.h"
#include "agora/weights/safetensors.h"

namespace agora::train {

// Only over a run that was saved there, or where nothing is. ResourceExhausted, PermissionDenied, ...: what
// the disk said; the folder's earlier content is then untouched.
Status save_run(const TrainState& state, model::LocalModel& model, const std::string& dir);

// What training_state.json holds. `name` is for messages.
std::string format_run_state(const TrainState& state);
StatusOr<TrainState> parse_run_state(const std::string& text, const std::string& name);

// training_state.json alone, into a folder that is being written.
Status write_run_state(const TrainState& state, const std::string& dir);

// optimizer.safetensors of a folder that is being written, parameter by parameter: first all are announced,
// then they are added in the same order.
class MomentsWriter {
 public:
  void announce(const std::vector<tensor::ParameterView>& parameters);
  Status open(const std::string& dir);
  Status add(const std::vector<tensor::ParameterView>& parameters);
  Status finish() { return file_->finish(); }

 private:
  std::vector<weights::TensorSpec> specs_;
  std::unique_ptr<weights::SafetensorsWriter> file_;
};

// NotFound: no run there; InvalidArgument: not a state this program wrote; names file and key.
StatusOr<TrainState> read_run_state(const std::string& dir);

// Weights and moments. DataLoss: a torn or altered file, with the tensor's name.
StatusOr<model::LocalModel> load_run(const std::string& dir, const kernels::Compute& compute);

// Some of its tensors alone, where experts are elsewhere: parameters with their moments, and what no
// optimizer moves. DataLoss as above.
Status load_tensors(const std::string& dir, const std::vector<tensor::Parameter*>& parameters,
                    const std::vector<tensor::Parameter*>& steered);

}  // namespace agora::train
