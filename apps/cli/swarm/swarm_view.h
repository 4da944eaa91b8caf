// A whole swarm on one screen, or in one line: from what its peers say of themselves to text.
//
//   SwarmView view{.title = "machine_text", .seconds = 73, .processes = {...}, .losses = history};
//   terminal.show(swarm_screen(view, columns, lines));       std::cerr << swarm_line(view) << "\n";
//
// Plain data in, text out: no terminal, no clock, no network. Any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/dashboard/peer_status.h"

namespace agora::cli {

struct ProcessView {
  enum class State : uint8_t {
    starting,  // it has not said where it listens
    running,
    silent,  // it lives, and does not answer
    ended,
  };
  std::string name;  // "host 1"
  State state = State::starting;
  std::string note = {};                             // how it ended, since when it is silent
  std::optional<dashboard::PeerStatus> status = {};  // the last it said
};

struct SwarmView {
  std::string title;      // the swarm's name
  std::string phase;      // what goes on, for people: "training", "trained; ask it"
  std::string page = {};  // where a browser shows it; empty: nowhere
  double seconds = 0;
  std::vector<ProcessView> processes = {};
  std::vector<std::string> troubles = {};  // what people have to know: a line each
  std::vector<double> losses = {};         // mean over the trainers, the oldest first
};

constexpr int kLinesMax = 10'000;

// All numbers of the swarm, added up over its running peers.
struct SwarmTotals {
  double loss = 0;  // mean over trainers that have one; 0: none
  double rows_per_s = 0;
  int64_t trainers = 0, hosts = 0, servers = 0;  // running
  uint64_t steps = 0;                            // of the trainer that is furthest
  int64_t experts_led = 0, experts_held = 0;
  double calls = 0, failures = 0;  // calls that were made; those that came to nothing
  double gate_mass = 0, gate_mass_lost = 0;

  double lost_share() const { return gate_mass > 0 ? gate_mass_lost / gate_mass : 0; }
};

SwarmTotals totals_of(const SwarmView& view);

// Lines of at most `columns`, each with its line feed; at most `lines` of them: processes for which there is
// no room are counted in the last.
std::string swarm_screen(const SwarmView& view, int columns, int lines = kLinesMax);
std::string swarm_line(const SwarmView& view);

// The last `columns` values as bars of eight heights, the lowest of them to the highest.
std::string sparkline(const std::vector<double>& values, int columns);

}  // namespace agora::cli
