// What `agora up` is told, and the processes that follow from it.
//
//   AGORA_RETURN_IF_ERROR(resume_place(flags, place));            // where an earlier one has run
//   for (ChildPlan& plan : plan_children(flags, "runs/words", at, saved)) supervisor.start(std::move(plan));
//
// Plain values; any thread.
#pragma once

#include <string>
#include <vector>

#include "agora/peers/endpoint.h"
#include "agora/train/options.h"

#include "apps/cli/swarm/supervisor.h"
#include "apps/cli/swarm/swarm_place.h"
#include "apps/cli/swarm/swarm_recipe.h"

namespace agora::cli {

struct UpFlags {
  train::TrainOptions options;
  SwarmRules rules;
  int hosts = 4;
  int trainers = 2;
  int servers = 1;
  // What is the caller's wish: of the rest a swarm that goes on has what it had.
  struct {
    bool hosts = false, trainers = false, servers = false, room = false, rows = false, data = false,
         swarm_key = false;
  } said;
  int32_t room = 1000;
  std::string rows = "bf16";  // of the trainers: see agora trainer --rows
  std::string resume;         // folder of an earlier `agora up`
  int64_t steps_resumed = 0;  // in all, of a swarm that goes on; 0: as it was planned
  double minutes_resumed = 0;
  std::string listen = "127.0.0.1:0";
  std::string http = "127.0.0.1:0";
  std::string swarm_key_file;
  bool respawn = false;
  bool once = false;
  bool plain = false;
  bool json = false;
};

constexpr int kHostsMax = 256;
constexpr int kTrainersMax = 64;
constexpr int kServersMax = 64;
constexpr const char* kSpecFile = "/spec";  // in the swarm's folder
constexpr const char* kSavedDir = "/saved";

// What the next `agora up` in this folder, started from wherever, has to know. No processes yet.
SwarmPlace place_of(const UpFlags& flags, std::string name, std::string dir);
// Of what was not said, what an earlier `agora up` in the folder before.dir had: its data, its key, as many
// processes, their room and how rows travel. NotFound: the data is not there any more; InvalidArgument:
// experts would be lost, for there are more hosts there with disks of their own.
Status resume_place(UpFlags& flags, const SwarmPlace& before);

// Hosts, trainers, servers, in this order; `join` is a peer that lives already. from_saved: what they have
// not on their own disks is in dir + kSavedDir; an `agora up` that was killed may have left none.
std::vector<ChildPlan> plan_children(const UpFlags& flags, const std::string& dir,
                                     const peers::Endpoint& join, bool from_saved);

// "host", "trainer", "serve": the command of a child.
const std::string& command_of(const ChildPlan& plan);

}  // namespace agora::cli
