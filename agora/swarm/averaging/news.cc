#include "agora/swarm/averaging/news.h"

#include <algorithm>

#include "agora/swarm/wire/message.h"

namespace agora::swarm {
namespace {

constexpr const char* kName = "averaging";
constexpr const char* kTooManyRows = "nobody learns from so many rows in a round";
constexpr size_t kContributionBytes = 32 + 32 + 8;

// Which of the optional parts follow; that its sender is on its way to a fresher version; that it rests.
constexpr uint8_t kReady = 1, kDecided = 2, kLast = 4, kComing = 8, kResting = 16;

size_t decision_bytes(const std::optional<Decision>& decision) {
  return decision ? 32 + 4 + decision->counted.size() * kContributionBytes : 0;
}

void put_contribution(const Contribution& contribution, MessageWriter& out) {
  out.put_bytes(contribution.owner.bytes);
  out.put_bytes(std::as_bytes(std::span(contribution.hash)));
  out.put(contribution.rows);
}

void put_decision(const Decision& decision, MessageWriter& out) {
  out.put_bytes(decision.decider.bytes);
  out.put(static_cast<uint32_t>(decision.counted.size()));
  for (const Contribution& contribution : decision.counted) put_contribution(contribution, out);
}

bool read_contribution(base::ByteReader& in, Contribution* contribution) {
  return read_array(in, &contribution->owner.bytes) && read_array(in, &contribution->hash) &&
         in.read_le(&contribution->rows);
}

StatusOr<Decision> read_decision(base::ByteReader& in) {
  Decision decision;
  uint32_t count = 0;
  if (!read_array(in, &decision.decider.bytes) || !in.read_le(&count)) return too_short(kName);
  if (count < 1 || count > kContributorsMax)
    return malformed(kName, "a decision counts 1 to 64 contributions");
  for (uint32_t i = 0; i < count; ++i) {
    Contribution contribution;
    if (!read_contribution(in, &contribution)) return too_short(kName);
    if (contribution.rows > kContributionRowsMax) return malformed(kName, kTooManyRows);
    if (i > 0 && decision.counted.back().owner >= contribution.owner) {
      return malformed(kName, "contributions do not ascend");
    }
    decision.counted.push_back(contribution);
  }
  return decision;
}

}  // namespace

TrunkVersion version_after(const TrunkVersion& base, const Decision& decision) {
  uint64_t rows = 0;
  for (const Contribution& contribution : decision.counted) rows += contribution.rows;
  return {.round = base.round + 1,
          .contributors = static_cast<uint32_t>(decision.counted.size()),
          .decider = decision.decider,
          .rows = base.rows + std::min(rows, UINT64_MAX - base.rows)};
}

peers::Payload encode(const News& news) {
  MessageWriter out(2 + 2 * kTrunkVersionBytes + (news.ready ? kContributionBytes : 0) +
                    decision_bytes(news.decided) + decision_bytes(news.last));
  out.put(kTrunkWireVersion);
  out.put(static_cast<uint8_t>((news.ready ? kReady : 0) | (news.decided ? kDecided : 0) |
                               (news.last ? kLast : 0) | (news.coming ? kComing : 0) |
                               (news.resting ? kResting : 0)));
  put_version(news.version, out);
  put_version(news.last_base, out);
  if (news.ready) put_contribution(*news.ready, out);
  if (news.decided) put_decision(*news.decided, out);
  if (news.last) put_decision(*news.last, out);
  return std::move(out).done();
}

StatusOr<News> read_news(base::Bytes bytes) {
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kName, kTrunkWireVersion));
  News news;
  uint8_t parts = 0;
  if (!in.read_le(&parts) || !read_trunk_version(in, &news.version) ||
      !read_trunk_version(in, &news.last_base)) {
    return too_short(kName);
  }
  news.coming = (parts & kComing) != 0;
  news.resting = (parts & kResting) != 0;
  if (parts & kReady) {
    news.ready.emplace();
    if (!read_contribution(in, &*news.ready)) return too_short(kName);
    if (news.ready->rows > kContributionRowsMax) return malformed(kName, kTooManyRows);
  }
  if (parts & kDecided) {
    AGORA_ASSIGN_OR_RETURN(news.decided, read_decision(in));
  }
  if (parts & kLast) {
    AGORA_ASSIGN_OR_RETURN(news.last, read_decision(in));
  }
  AGORA_RETURN_IF_ERROR(ends_here(in, kName));
  return news;
}

}  // namespace agora::swarm
