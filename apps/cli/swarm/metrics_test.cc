#include "apps/cli/swarm/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

using ::testing::HasSubstr;

TEST(Metrics, AreWhatPrometheusReads) {
  std::vector<Metric> metrics;
  append_metrics(peers::TransportCounters{.calls_sent = 5, .connections = 2}, metrics);
  const std::string text = prometheus_text(metrics, "abcd");
  EXPECT_THAT(text, HasSubstr("# TYPE agora_calls_sent_total counter"));
  EXPECT_THAT(text, HasSubstr("agora_calls_sent_total{peer=\"abcd\"} 5"));
  EXPECT_THAT(text, HasSubstr("# TYPE agora_connections gauge"));
}

TEST(Metrics, CountersEndInTotal) {
  std::vector<Metric> metrics;
  append_metrics(peers::TransportCounters{}, metrics);
  append_metrics(peers::DirectoryCounters{}, metrics);
  append_metrics(swarm::MixReport{}, metrics);
  append_metrics(swarm::PeerState{.host = true, .trainer = true}, metrics);
  for (const Metric& metric : metrics) {
    EXPECT_EQ(metric.kind == Metric::Kind::counter, metric.name.ends_with("_total")) << metric.name;
    EXPECT_TRUE(metric.name.starts_with("agora_")) << metric.name;
  }
}

}  // namespace
}  // namespace agora::cli
