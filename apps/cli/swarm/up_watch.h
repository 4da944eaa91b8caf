// What `agora up` knows of its processes: from what they print, from how they end, from what they answer.
//
//   UpWatch watch(supervisor, node.transport(), "words", page_url(node), clock);
//   watch.on_event(event);   watch.ask_all();   std::cout << swarm_screen(watch.view(), columns);
//
// Main's thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agora/peers/transport/transport.h"
#include "agora/swarm/trunk.h"

#include "apps/cli/swarm/supervisor.h"
#include "apps/cli/swarm/swarm_place.h"
#include "apps/cli/swarm/swarm_view.h"

namespace agora::cli {

class UpWatch {
 public:
  static constexpr double kAnswerSeconds = 0.5;  // a process that does not answer so soon is shown as silent
  static constexpr size_t kLossesMax = 2000;     // of the curve; then every second one goes

  UpWatch(const Supervisor& supervisor, peers::Transport& transport, std::string title, std::string page,
          const Clock& clock)
      : supervisor_(supervisor),
        transport_(transport),
        title_(std::move(title)),
        page_(std::move(page)),
        clock_(clock),
        begun_ns_(clock.now_ns()) {}

  // A line for people about it; empty: it is of no news to them.
  std::string on_event(const ChildEvent& event);
  // kGetStatus of all that run, at the same time.
  void ask_all();

  SwarmView view() const;
  void set_phase(std::string phase) { phase_ = std::move(phase); }

  bool all_up() const;           // all that run have said where they listen
  bool all_trained() const;      // all trainers that are left have made their last step; false if none is
  bool no_trainer_left() const;  // there were some: none runs, and none is started again
  bool any_unfinished() const;   // a trainer has not made its last step
  // The freshest of which a trainer that is left has said that its last step is in there: rounds and rows.
  swarm::TrunkVersion trunk_trained() const;
  int64_t steps() const { return steps_; }  // of the trainer that is furthest, as they said themselves
  std::vector<PlacedPeer> places() const;

 private:
  struct Trainers {
    size_t all = 0, left = 0;                  // left: runs, or is started again
    size_t trained = 0, trained_and_left = 0;  // has made its last step
  };
  Trainers trainers() const;

  struct Known {
    std::optional<PlacedPeer> place;
    std::optional<dashboard::PeerStatus> status;
    bool silent = false;
    bool trained = false;
    swarm::TrunkVersion trunk;  // that it had then
    std::string trouble;        // the last that it said
    std::string end;            // how it ended
  };
  void note_loss();

  const Supervisor& supervisor_;
  peers::Transport& transport_;
  std::string title_;
  std::string page_;
  std::string phase_;
  const Clock& clock_;
  int64_t begun_ns_;
  std::map<size_t, Known> known_;  // by child
  std::vector<double> losses_;
  int64_t steps_ = 0;
};

}  // namespace agora::cli
