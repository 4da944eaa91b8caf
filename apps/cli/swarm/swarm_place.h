// Where a swarm that was started on this machine can be found: runs/NAME/swarm.json, written by `agora up`.
//
//   AGORA_RETURN_IF_ERROR(write_place("runs/words", place));
//   AGORA_ASSIGN_OR_RETURN(SwarmPlace place, find_place({}));   // the latest under runs/
//
// Any living peer of it will do. A value type; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agora/base/result.h"
#include "agora/peers/endpoint.h"
#include "agora/peers/transport/swarm_key.h"

namespace CLI {
class App;
}

namespace agora::cli {

struct PlacedPeer {
  std::string name;  // "host 1"
  int64_t pid = 0;
  peers::Endpoint at;
  peers::Endpoint http;  // empty: none
};

struct ProcessCounts {
  int hosts = 0, trainers = 0, servers = 0;
};

struct SwarmPlace {
  std::string name = {};
  std::string dir = {};                       // where it was found; empty: it was told by --join
  std::string swarm_key_file = {};            // empty: an open swarm
  std::string data = {};                      // of its trainers; empty: this machine's own text
  std::optional<ProcessCounts> started = {};  // null: an older file, which does not say it
  int32_t room = 0;                           // of each host; 0: likewise
  std::string rows = {};                      // of the trainers; empty: likewise
  std::vector<PlacedPeer> peers = {};         // of which these run
};

// How a command is told which swarm is meant.
struct PlaceFlags {
  std::vector<std::string> join;  // HOST:PORT of living peers
  std::string dir;                // of `agora up`; empty: the latest under runs/
  std::string swarm_key_file;
  double seconds = 10;  // how long to wait for an answer
};

void add_place_flags(CLI::App& command, PlaceFlags& flags);

// InvalidArgument of a command that takes MODEL "text", or with --swarm the text alone.
Status text_of_swarm_expected(const std::string& command);

// Of --swarm-key FILE. Nothing: no file is named, the swarm is open.
StatusOr<std::optional<peers::SwarmKey>> swarm_key_in(const std::string& file);

Status write_place(const std::string& dir, const SwarmPlace& place);

// NotFound: no swarm there; InvalidArgument: not such a file, an endpoint that is none. Says what to do.
StatusOr<SwarmPlace> read_place(const std::string& dir);
StatusOr<SwarmPlace> find_place(const PlaceFlags& flags);

}  // namespace agora::cli
