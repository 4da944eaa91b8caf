// The numbers of a peer under their public names: /metrics, `agora peers` and the live screen read the
// same.
//
//   std::vector<Metric> metrics;
//   append_metrics(transport.counters(), metrics);   append_metrics(directory.counters(), metrics);
//   std::string page = prometheus_text(metrics, peer.brief());
//
// docs/metrics.md names every one of them. Any thread (values).
#pragma once

#include <string>
#include <vector>

#include "agora/peers/directory/directory.h"
#include "agora/peers/transport/transport.h"
#include "agora/swarm/peer_state.h"
#include "agora/swarm/remote_experts.h"

namespace agora::cli {

struct Metric {
  enum class Kind : uint8_t { counter, gauge };  // a counter never goes back while the process lives
  std::string name;                              // agora_...; counters end in _total
  std::string help;
  Kind kind = Kind::gauge;
  double value = 0;
};

// name and help: as docs/metrics.md has them.
void add_counter(std::vector<Metric>& to, const char* name, const char* help, double value);
void add_gauge(std::vector<Metric>& to, const char* name, const char* help, double value);

constexpr const char* kDiskFails = "agora_disk_fails";  // hosts say it, `agora peers` tells people

void append_metrics(const peers::TransportCounters& counters, std::vector<Metric>& to);
void append_metrics(const peers::DirectoryCounters& counters, std::vector<Metric>& to);
void append_metrics(const swarm::PeerState& state, std::vector<Metric>& to);
// report: summed over the process's life.
void append_metrics(const swarm::MixReport& report, std::vector<Metric>& to);

void add_to(const swarm::MixReport& report, swarm::MixReport& sum);

// How fast a counter goes, from one look at it to the next. One thread.
class CounterRate {
 public:
  float per_second(uint64_t count);

 private:
  int64_t last_ns_ = 0;
  uint64_t last_ = 0;
};

// The text format that Prometheus reads, each line with {peer="..."}.
std::string prometheus_text(const std::vector<Metric>& metrics, const std::string& peer);

}  // namespace agora::cli
