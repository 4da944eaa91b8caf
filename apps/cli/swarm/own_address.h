// The address under which others reach this machine, where nobody said it.
//
//   std::string address = own_address({"192.168.1.5", 4700});     // of the interface that leads to that peer
//   std::string address = own_address({});                        // of the first that is up and not loopback
//
// Nothing is sent. Behind a router that translates addresses no peer can know its own: --advertise says it.
// Any thread.
#pragma once

#include <string>

#include "agora/peers/endpoint.h"

namespace agora::cli {

std::string own_address(const peers::Endpoint& towards);

// HOST:PORT to listen at; port 0: any free one, which no peer's endpoint may be. InvalidArgument names the
// flag.
StatusOr<peers::Endpoint> parse_listen(const char* flag, const std::string& text);

// ADDRESS:PORT of --advertise. InvalidArgument: none, or a name, which peers do not take from each other.
StatusOr<peers::Endpoint> parse_advertised(const std::string& text);

// 0.0.0.0 and ::, which mean "all of this machine's" and nothing to anybody else.
bool is_wildcard(const std::string& host);

}  // namespace agora::cli
