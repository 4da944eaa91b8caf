// A trainer of a swarm: a trunk and gates of its own, experts on other peers, trunks averaged with whom it
// finds.
//
//   AGORA_ASSIGN_OR_RETURN(auto trainer, SwarmTrainer::create({.loop = loop, .transport = transport,
//                              .directory = directory}, spec, options, compute, *task, config));
//   AGORA_RETURN_IF_ERROR(trainer->join(timeout_ns));          // waits for hosts; takes the others' trunk
//   while (!trainer->done()) { AGORA_ASSIGN_OR_RETURN(SwarmStepReport report, trainer->step()); ... }
//   AGORA_RETURN_IF_ERROR(trainer->settle(trainer->settle_ns_max()));  // its last steps are in a trunk too
//   AGORA_RETURN_IF_ERROR(trainer->save(dir));                 // the whole swarm, as a model's folder
//   trainer->describe(state);                                  // for this peer's record, from any thread
//
// In an asynchronous swarm every trainer draws batches and gate noise of its own: the streams are forked by
// its peer id. In a synchronous one there is one trainer, whose steps are bit for bit those of one process
// (train/trainer.h).
// Its gates have room for spec.experts_max experts: those that are added while it runs are let in, what is
// retired is shut out, a newcomer for which the validation loss gets worse is undone (gate_growth.h). Gates
// are balanced by the whole swarm's loads, as the directory tells them; in a synchronous swarm by their
// own. A step in which some rows were not served counts as any other. While no expert can be reached step()
// waits; see patient_experts.h. One thread, but for stop(), describe() and counters().
#pragma once

#include <memory>
#include <string>

#include "agora/peers/directory/directory.h"
#include "agora/peers/transport/transport.h"
#include "agora/swarm/averaging/averaging.h"
#include "agora/swarm/finder/finder.h"
#include "agora/swarm/peer_state.h"
#include "agora/swarm/remote_experts.h"
#include "agora/swarm/spec.h"
#include "agora/train/evaluate.h"
#include "agora/train/gate_growth.h"
#include "agora/train/patient_experts.h"
#include "agora/train/stepper.h"
#include "agora/train/task.h"
#include "agora/train/train_state.h"

namespace agora::train {

// The peer that the trainer is part of; all borrowed.
struct SwarmPeer {
  base::Loop& loop;
  peers::Transport& transport;
  peers::Directory& directory;
};

struct SwarmTrainerConfig {
  uint64_t run = 1;  // of this process: every start of a trainer needs a greater one (wall clock, ns)
  int64_t in_flight_max = 8;  // of options.micro_batches
  swarm::RowDtype rows = swarm::RowDtype::bf16;
  std::string own_file = {};  // where keep() writes and join() looks (trainer_file.h); empty: nowhere
  Patience patience;
  swarm::GrowthConfig growth = {};  // of experts that are added while it trains
};

struct SwarmStepReport : StepReport {
  swarm::MixReport mix;           // what became of the choices
  swarm::TrunkVersion trunk;      // rounds of averaging so far
  double rows_per_s = 0;          // of this step
  uint64_t pauses = 0;            // so far: calls that found no host
  uint64_t backwards_failed = 0;  // so far
};

class SwarmTrainer {
 public:
  // options: the swarm's, with this machine's own --data and --threads. task: made of them with the swarm's
  // tokenizer. Serves kAverage, kGetTrunk and kGetCursor: before the transport's first request.
  // InvalidArgument: spec, options and task do not fit together.
  static StatusOr<std::unique_ptr<SwarmTrainer>> create(const SwarmPeer& peer, const swarm::SwarmSpec& spec,
                                                        const TrainOptions& options,
                                                        const kernels::Compute& compute, Task& task,
                                                        const SwarmTrainerConfig& config);
  ~SwarmTrainer();

  // Goes on from a folder that save() wrote: trunk, its optimizer, counters, and the data cursor if this
  // trainer has one there. Instead of join()'s look for others' trunks where they are no fresher. Experts
  // come from the hosts.
  Status resume(const std::string& dir);

  // Waits until all experts have a leader; then goes on where keep() was called last, and takes the freshest
  // trunk: that of a trainer or a server, the kept one, or the one that it resumed from. Its optimizer's
  // moments, its counters and its place in the data are its own whoever the trunk is from. DeadlineExceeded
  // names the experts that nobody leads; other errors: of the last try to get a trunk that somebody says to
  // have, or of read_trainer_file().
  Status join(int64_t timeout_ns);

  // Errors: Unavailable, after the patience; InvalidArgument: a loss or gradient that is not finite;
  // Cancelled: stop(). The trunk is then as it was, and the next step() takes the next batch; a trainer that
  // was stopped goes on with the same one.
  StatusOr<SwarmStepReport> step();
  // After the last step: keeps, and waits until all that it has learned is in a trunk that is handed out.
  // Well or not, others do not wait for this trainer any more then, and its trunk follows theirs.
  // DeadlineExceeded: some of it is in none yet, but keep() knows it; Cancelled: stop(), likewise; else the
  // errors of keep().
  Status settle(int64_t timeout_ns);
  // Before it goes: waits until another trainer, or a server, has a trunk as fresh, if there is one.
  // DeadlineExceeded; Cancelled: stop().
  Status hand_on(int64_t timeout_ns);
  // How long the two may take where lines are slow: trunk_sharing.h.
  int64_t settle_ns_max() const;
  int64_t hand_on_ns_max() const;

  // A loss that got worse since an expert was added undoes it (gate_growth.h): always of as many rows.
  StatusOr<Evaluation> validate(int64_t rows_max);
  // What it costs that rows travel as config.rows: the validation loss with them, less that with bf16 rows,
  // of the same trunk on the same rows. Where others train meanwhile their updates lie between the two.
  StatusOr<double> rows_cost(int64_t rows_max);

  // Writes down where this trainer is, between two steps. FailedPrecondition: before join().
  Status keep();

  // Pulls every expert from its leader (or the freshest replica that answers), checks it, and writes one
  // folder that appears whole or not at all: the model's files, the optimizers' state, and manifest.json (see
  // swarm_folder.h).
  Status save(const std::string& dir);

  void stop();  // any thread: what waits ends soon

  bool done() const;
  bool needs_plan() const;
  void plan_steps(double seconds_left, double seconds_per_step);
  void add_seconds(double seconds);
  const TrainState& state() const;
  model::Model& model();
  model::Pass pass() const;
  swarm::Finder& finder();

  // Any thread.
  void describe(swarm::PeerState& state) const;
  swarm::AveragingCounters averaging() const;

 private:
  struct State;
  explicit SwarmTrainer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace agora::train
