// What every peer process does besides its role: says that it is there, waits for its end, goes in good
// order.
//
//   AGORA_RETURN_IF_ERROR(node.begin());
//   say_up(node, "host", flags.json);
//   wait_for_interrupt(interrupt);
//   say_event({{"event", "left"}}, flags.json);
//
// Main's thread.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "apps/cli/command.h"
#include "apps/cli/swarm/node.h"

namespace agora::cli {

// {"event": "up", "role", "peer", "at", "http", "pid", "swarm"}, or a line for people.
void say_up(const Node& node, const std::string& role, bool json);

// "http://127.0.0.1:40001/", where a browser shows the swarm as this peer sees it; empty: it has no page.
std::string page_url(const Node& node);

// One line of JSON; nothing where people read.
void say_event(const nlohmann::ordered_json& event, bool json);

void wait_for_interrupt(const Interrupt& interrupt);

// Declared after the roles: when it goes, the others are told, and no call touches the roles any more.
class NodeEnd {
 public:
  explicit NodeEnd(Node& node) : node_(node) {}
  ~NodeEnd() {
    node_.leave();
    node_.stop();
  }
  NodeEnd(const NodeEnd&) = delete;
  NodeEnd& operator=(const NodeEnd&) = delete;

 private:
  Node& node_;
};

}  // namespace agora::cli
