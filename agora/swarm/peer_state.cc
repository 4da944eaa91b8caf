#include "agora/swarm/peer_state.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <span>
#include <utility>

#include "agora/base/bytes.h"
#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/peers/directory/record.h"

namespace agora::swarm {
namespace {

constexpr uint8_t kForm = 2;  // the first byte
enum Roles : uint8_t { kHost = 1, kTrainer = 2, kServer = 4, kBitmaps = 8, kNewcomers = 16, kLoads = 32 };
enum RangeFlags : uint8_t { kLeads = 1, kOneLoad = 2, kManyLoads = 4 };

// How a state is said when it does not fit. Each is coarser than the one before.
struct Detail {
  uint64_t version_spread = 0;  // of neighbours that are said as one range
  bool loads = true;
  bool bitmaps = false;
};
constexpr Detail kDetails[] = {
    {}, {2}, {16}, {128}, {UINT64_MAX}, {0, true, true}, {UINT64_MAX, false}, {0, false, true}};

// ---- writing: whole numbers as LEB128, 7 bits a byte

void put(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_each(std::string& out, std::initializer_list<int32_t> numbers) {
  for (const int32_t number : numbers) put(out, static_cast<uint64_t>(number));
}

void put_real(std::string& out, float value) {
  std::array<std::byte, 4> bytes;
  base::store_le(std::bit_cast<uint32_t>(value), bytes.data());
  out += base::as_text(bytes);
}

void put_head(std::string& out, const PeerState& state, const Detail& detail) {
  out += static_cast<char>(kForm);
  out += static_cast<char>((state.host ? kHost : 0) | (state.trainer ? kTrainer : 0) |
                           (state.server ? kServer : 0) | (detail.bitmaps ? kBitmaps : 0) |
                           (state.newcomers.empty() ? 0 : kNewcomers) |
                           (detail.bitmaps && detail.loads ? kLoads : 0));
  put(out, static_cast<uint64_t>(std::max(state.room, 0)));
  put(out, state.load_us);
  for (const uint64_t number : {state.step, state.trunk_version}) put(out, number);
  if (state.trainer || state.server) put(out, state.trunk_rows);
  put_real(out, state.loss);
  put_real(out, state.rows_per_s);
  put(out, state.http_port);
  put(out, state.retired.size());
  for (const RetiredRange& range : state.retired) {
    put_each(out, {range.layer.value, range.first, range.count});
  }
  if (state.newcomers.empty()) return;
  put(out, state.newcomers.size());
  for (const Newcomer& newcomer : state.newcomers) {
    put_each(out, {newcomer.layer.value, newcomer.expert.value, newcomer.source.value});
  }
}

// Where the next range may start at the earliest: gaps are said, not numbers.
struct Place {
  int32_t layer = 0;
  int32_t expert = 0;
};

void put_place(std::string& out, Place& place, int32_t layer, int32_t first, int32_t count) {
  const int32_t layers = layer - std::exchange(place.layer, layer);
  const int32_t gap = first - (layers == 0 ? place.expert : 0);
  AGORA_CHECK(layers >= 0 && gap >= 0 && count > 0);
  put_each(out, {layers, gap, count});
  place.expert = first + count;
}

// True: they found room.
bool put_ranges(std::string& out, std::span<const HeldRange> ranges) {
  put(out, ranges.size());
  Place place;
  for (const HeldRange& range : ranges) {
    put_place(out, place, range.layer.value, range.first, range.count);
    const size_t loads = range.loads.size();
    AGORA_CHECK(loads <= 1 || loads == static_cast<size_t>(range.count));
    out += static_cast<char>((range.leads ? kLeads : 0) | (loads == 1 ? kOneLoad : 0) |
                             (loads > 1 ? kManyLoads : 0));
    put(out, range.epoch);
    put(out, range.version);
    out.append(range.loads.begin(), range.loads.end());
  }
  return out.size() <= peers::kRecordBodyBytesMax;
}

// A layer: where it begins, how far it reaches, one epoch and version; a bit for each expert in reach (held),
// a bit for each held (leads), a byte for each held (its load) or none.
std::string layer_bitmap(std::span<const HeldRange> ranges, bool with_loads, Place& place) {
  std::string out;
  const int32_t first = ranges.front().first;
  const int32_t reach = ranges.back().first + ranges.back().count - first;
  put_place(out, place, ranges.front().layer.value, first, reach);
  uint32_t epoch = 0;
  uint64_t version = UINT64_MAX;
  std::string held(static_cast<size_t>(reach + 7) / 8, '\0');
  std::vector<bool> leads;
  std::string loads;
  for (const HeldRange& range : ranges) {
    epoch = std::max(epoch, range.epoch);
    version = std::min(version, range.version);
    leads.insert(leads.end(), static_cast<size_t>(range.count), range.leads);
    for (int32_t e = range.first - first; e < range.first - first + range.count; ++e) {
      held[static_cast<size_t>(e) / 8] |= static_cast<char>(1 << e % 8);
    }
    if (with_loads) loads.append(range.loads.begin(), range.loads.end());
  }
  std::string led((leads.size() + 7) / 8, '\0');
  for (size_t i = 0; i < leads.size(); ++i) {
    if (leads[i]) led[i / 8] |= static_cast<char>(1 << i % 8);
  }
  put(out, epoch);
  put(out, version);
  return out + held + led + loads;
}

// True: every layer found room.
bool put_bitmaps(std::string& out, std::span<const HeldRange> ranges, bool with_loads) {
  std::string layers;
  size_t count = 0;
  Place place;
  bool all = true;
  while (!ranges.empty()) {
    const auto end = std::find_if(ranges.begin(), ranges.end(),
                                  [&](const HeldRange& r) { return r.layer != ranges.front().layer; });
    Place next = place;
    const std::string layer = layer_bitmap({ranges.begin(), end}, with_loads, next);
    constexpr size_t kCountBytes = 2;  // more layers than 16,383 do not fit anyway
    if (out.size() + kCountBytes + layers.size() + layer.size() <= peers::kRecordBodyBytesMax) {
      layers += layer;
      place = next;
      ++count;
    } else {
      all = false;
    }
    ranges = ranges.subspan(static_cast<size_t>(end - ranges.begin()));
  }
  put(out, count);
  out += layers;
  return all;
}

// Takes `next` into `range` if both can be said as one.
bool merge(HeldRange& range, const HeldRange& next, const Detail& detail, uint64_t& version_max) {
  if (range.layer != next.layer || range.first + range.count != next.first || range.leads != next.leads ||
      range.epoch != next.epoch || range.loads.empty() != next.loads.empty()) {
    return false;
  }
  const uint64_t low = std::min(range.version, next.version);
  const uint64_t high = std::max(version_max, next.version);
  if (high - low > detail.version_spread) return false;
  range.count += next.count;
  range.loads.insert(range.loads.end(), next.loads.begin(), next.loads.end());
  range.version = low;
  version_max = high;
  return true;
}

std::vector<HeldRange> coarser(std::span<const HeldRange> ranges, const Detail& detail) {
  std::vector<HeldRange> result;
  uint64_t version_max = 0;  // within the last of the result
  for (HeldRange range : ranges) {
    if (!detail.loads) range.loads.clear();
    if (range.loads.size() == 1) range.loads.resize(static_cast<size_t>(range.count), range.loads[0]);
    if (!result.empty() && merge(result.back(), range, detail, version_max)) continue;
    version_max = range.version;
    result.push_back(std::move(range));
  }
  return result;
}

struct Encoded {
  std::string bytes;
  bool whole = true;
};

Encoded encode_with(const PeerState& state) {
  AGORA_CHECK_LE(state.retired.size(), kRetiredRangesMax);
  AGORA_CHECK_LE(state.newcomers.size(), kNewcomersMax);
  const bool told = std::ranges::none_of(state.held, [](const HeldRange& r) { return r.loads.empty(); });
  Encoded said;
  for (const Detail& detail : kDetails) {
    if (detail.bitmaps && detail.loads && !told) continue;
    said = {};
    put_head(said.bytes, state, detail);
    const std::vector<HeldRange> ranges = coarser(state.held, detail);
    said.whole =
        detail.bitmaps ? put_bitmaps(said.bytes, ranges, detail.loads) : put_ranges(said.bytes, ranges);
    if (said.whole) break;
  }
  return said;
}

// Newcomers are advice: rather without them than without what is held.
Encoded encode_best(PeerState state) {
  Encoded all = encode_with(state);
  if (!all.whole && !std::exchange(state.newcomers, {}).empty()) all = encode_with(state);
  return all;
}

// ---- reading

// After the first thing that does not fit, ok is false and every number is 0.
class Reader {
 public:
  explicit Reader(std::string_view body) : in_(base::as_bytes(body)) {}

  bool ok = true;
  bool ended() const { return in_.remaining() == 0; }

  uint64_t number(uint64_t most = UINT64_MAX) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      uint8_t byte = 0;
      ok = ok && in_.read_le(&byte) && !(shift == 63 && byte > 1);
      if (!ok) return 0;
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) break;
    }
    ok = value <= most;
    return ok ? value : 0;
  }
  uint8_t byte() {
    uint8_t value = 0;
    ok = ok && in_.read_le(&value);
    return value;
  }
  float real() {
    uint32_t bits = 0;
    ok = ok && in_.read_le(&bits) && std::isfinite(std::bit_cast<float>(bits));
    return ok ? std::bit_cast<float>(bits) : 0.0f;
  }
  base::Bytes bytes(size_t count) {
    base::Bytes result;
    ok = ok && in_.take(count, &result);
    return result;
  }

 private:
  base::ByteReader in_;
};

int32_t int32(uint64_t value) { return static_cast<int32_t>(value); }

void read_place(Reader& in, Place& place, HeldRange& range) {
  const int32_t layers = int32(in.number(kExpertNumberMax));
  const int32_t gap = int32(in.number(kExpertNumberMax));
  range.count = int32(in.number(kExpertNumberMax));
  range.first = (layers == 0 ? place.expert : 0) + gap;
  range.layer = LayerId{place.layer + layers};
  in.ok = in.ok && range.count > 0 && range.first + range.count <= kExpertNumberMax &&
          range.layer.value <= kExpertNumberMax;
  if (in.ok) place = {range.layer.value, range.first + range.count};
}

void read_ranges(Reader& in, std::vector<HeldRange>& held) {
  Place place;
  const uint64_t count = in.number();
  for (uint64_t i = 0; in.ok && i < count; ++i) {
    HeldRange range;
    read_place(in, place, range);
    const uint8_t flags = in.byte();
    in.ok = in.ok && flags < 8 && (flags & (kOneLoad | kManyLoads)) != (kOneLoad | kManyLoads);
    range.leads = (flags & kLeads) != 0;
    range.epoch = static_cast<uint32_t>(in.number(UINT32_MAX));
    range.version = in.number();
    const size_t loads = (flags & kOneLoad) != 0     ? 1
                         : (flags & kManyLoads) != 0 ? static_cast<size_t>(range.count)
                                                     : 0;
    for (const std::byte load : in.bytes(loads)) range.loads.push_back(std::to_integer<uint8_t>(load));
    if (in.ok) held.push_back(std::move(range));
  }
}

bool bit(base::Bytes bits, size_t i) { return (std::to_integer<int>(bits[i / 8]) >> i % 8 & 1) != 0; }

void read_bitmap(Reader& in, bool with_loads, Place& place, std::vector<HeldRange>& held) {
  HeldRange whole;
  read_place(in, place, whole);
  whole.epoch = static_cast<uint32_t>(in.number(UINT32_MAX));
  whole.version = in.number();
  const auto reach = static_cast<size_t>(whole.count);
  const base::Bytes present = in.bytes((reach + 7) / 8);
  if (!in.ok) return;
  size_t count = 0;
  for (size_t e = 0; e < reach; ++e) count += bit(present, e) ? 1 : 0;
  const base::Bytes leads = in.bytes((count + 7) / 8);
  const base::Bytes loads = in.bytes(with_loads ? count : 0);
  if (!in.ok) return;
  size_t next = 0;
  bool open = false;  // the last range goes on
  for (size_t e = 0; e < reach; ++e) {
    if (!bit(present, e)) {
      open = false;
      continue;
    }
    const bool led = bit(leads, next);
    if (open && held.back().leads == led) {
      ++held.back().count;
    } else {
      const int32_t first = whole.first + static_cast<int32_t>(e);
      held.push_back({whole.layer, first, 1, led, whole.epoch, whole.version, {}});
      open = true;
    }
    if (with_loads) held.back().loads.push_back(std::to_integer<uint8_t>(loads[next]));
    ++next;
  }
}

void read_retired(Reader& in, std::vector<RetiredRange>& retired) {
  const uint64_t count = in.number(kRetiredRangesMax);
  for (uint64_t i = 0; in.ok && i < count; ++i) {
    RetiredRange range;
    range.layer = LayerId{int32(in.number(kExpertNumberMax))};
    range.first = int32(in.number(kExpertNumberMax));
    range.count = int32(in.number(kExpertNumberMax));
    in.ok = in.ok && range.count > 0 && range.first + range.count <= kExpertNumberMax;
    retired.push_back(range);
  }
}

void read_newcomers(Reader& in, std::vector<Newcomer>& newcomers) {
  const uint64_t count = in.number(kNewcomersMax);
  for (uint64_t i = 0; in.ok && i < count; ++i) {
    const LayerId layer{int32(in.number(kExpertNumberMax))};
    const ExpertId expert{int32(in.number(kExpertNumberMax))};
    newcomers.push_back({layer, expert, ExpertId{int32(in.number(kExpertNumberMax))}});
  }
}

}  // namespace

uint8_t load_of(double rows_per_s) {
  return static_cast<uint8_t>(
      std::clamp(std::round(8 * std::log2(1 + std::max(rows_per_s, 0.0))), 0.0, 255.0));
}

double rows_per_s_of(uint8_t load) { return std::exp2(load / 8.0) - 1; }

std::string encode(const PeerState& state) { return encode_best(state).bytes; }

bool fits(const PeerState& state) { return encode_best(state).whole; }

StatusOr<PeerState> decode_peer_state(std::string_view body) {
  if (body.size() > peers::kRecordBodyBytesMax) {
    return absl::InvalidArgumentError(base::concat("peer state: expected at most ",
                                                   peers::kRecordBodyBytesMax, " bytes, got ", body.size()));
  }
  Reader in(body);
  PeerState state;
  in.ok = in.byte() == kForm;
  const uint8_t roles = in.byte();
  in.ok = in.ok && roles < 64;
  state.host = (roles & kHost) != 0;
  state.trainer = (roles & kTrainer) != 0;
  state.server = (roles & kServer) != 0;
  state.room = int32(in.number(INT32_MAX));
  state.load_us = static_cast<uint32_t>(in.number(UINT32_MAX));
  state.step = in.number();
  state.trunk_version = in.number();
  if (state.trainer || state.server) state.trunk_rows = in.number();
  state.loss = in.real();
  state.rows_per_s = in.real();
  state.http_port = static_cast<uint16_t>(in.number(UINT16_MAX));
  read_retired(in, state.retired);
  if ((roles & kNewcomers) != 0) read_newcomers(in, state.newcomers);
  if ((roles & kBitmaps) == 0) {
    read_ranges(in, state.held);
  } else {
    Place place;
    const uint64_t layers = in.number();
    const bool loads = (roles & kLoads) != 0;
    for (uint64_t i = 0; in.ok && i < layers; ++i) read_bitmap(in, loads, place, state.held);
  }
  if (in.ok && in.ended()) return state;
  return absl::InvalidArgumentError("peer state: these bytes are none, or of a program of another version");
}

bool matters_to_all(std::string_view body) {
  const StatusOr<PeerState> state = decode_peer_state(body);
  return state.ok() && (state->trainer || state->server || !state->held.empty());
}

}  // namespace agora::swarm
