// What one peer believes about the others: records in, events out, all checks in between.
//
//   DirectoryView view({.swarm = swarm, .self = me});
//   Verdict verdict = view.take(bytes, now, &events);     // from anybody, by any way
//   view.expire(now, &events);                            // at view.next_expiry_ns(), again and again
//
// A record counts from when its sequence was first seen, on the reader's clock, so a peer's wall clock
// matters to nobody. Who is gone leaves a tombstone: a record as old as its last one does not revive it.
//
// Some peers matter to all, as the owner says by their records (who holds experts, who trains): they are
// known to everybody. The others are too while they are few. When others_max of them are known the view is
// crowded: it keeps these as a sample, takes no more (but for who calls), and passes on only those that
// matter, so that what a peer keeps, sends and checks does not grow with the swarm
// (docs/decisions/013-large-swarms.md). A quarter of the sample is the same at all peers, the reserve: the
// others of the least places. They are known and passed on as those that matter, so that a few hosts of all
// that could help know of each other. Pure: (event, now) -> events, no clock or thread inside. One thread at
// a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agora/peers/directory/directory.h"
#include "agora/peers/directory/record_reader.h"
#include "agora/peers/transport/payload.h"

namespace agora::peers {

// Whether a record is for everybody to know. Called before its signature is checked; no side effects.
using MattersToAll = std::function<bool(const Record&)>;

struct ViewSettings {
  SwarmId swarm;
  PeerId self;              // records of this peer are no news
  size_t peers_max = 4096;  // that matter, about 1 KiB each; later ones are not taken until somebody goes
  size_t others_max = 256;  // that do not; a quarter of them is the reserve
  size_t tombstones_max = 1024;  // the oldest is forgotten first
  MattersToAll matters = {};     // empty: everybody does
};

enum class Verdict : uint8_t {
  taken,
  known,  // these very bytes
  own,    // of this peer, and truly signed by it: maybe from an earlier life
  forged,
  stale,
  oversized,
  foreign,
  malformed,
  over_limit,
};

// A part of the ring of peer ids, by their first 8 bytes: from first up to last, both in it, over the end of
// numbers where last < first.
struct Arc {
  uint64_t first = 0;
  uint64_t last = UINT64_MAX;
  bool holds(uint64_t at) const { return at - first <= last - first; }
};

uint64_t ring_place(const PeerId& peer);

// Which record of a peer somebody has.
struct DigestEntry {
  uint64_t place = 0;
  uint64_t sequence = 0;
};

class DirectoryView {
 public:
  explicit DirectoryView(const ViewSettings& settings,
                         std::shared_ptr<RecordReader> reader = std::make_shared<Ed25519Reader>())
      : settings_(settings), reader_(std::move(reader)) {}

  // Cost: one hash; one signature check only where the sequence is news.
  // caller: who brought the bytes. For its own record another that does not matter is forgotten, where there
  // is no room.
  Verdict take(base::Bytes bytes, int64_t now_ns, std::vector<DirectoryEvent>* events,
               const PeerId& caller = {});
  void expire(int64_t now_ns, std::vector<DirectoryEvent>* events);
  // Nothing expires before. What was refreshed since the last expire() still counts with its earlier time.
  int64_t next_expiry_ns() const { return next_expiry_ns_; }

  size_t size() const { return peers_.size(); }
  size_t mattering() const { return peers_.size() - others_.size(); }
  bool crowded() const { return crowded_; }
  // Of those that do not matter, who are known to all: those up to this place. In a view that is not crowded
  // everybody.
  uint64_t reserve_end() const { return reserve_end_; }
  // Whether what happened should be told at once. That one who does not matter said something again is left
  // to exchanges, and in a crowded view it is no news that there is one.
  bool is_news(const DirectoryEvent& event) const;
  std::vector<std::shared_ptr<const Record>> records() const;
  bool knows(const Endpoint& endpoint) const;
  std::shared_ptr<const Record> find(const PeerId& peer) const;  // null: not here
  // In the last third of its time: if the peer were well and we in touch, we should have seen a fresher one.
  bool is_aging(const PeerId& peer, int64_t now_ns) const;
  // The peer at the place or the next one after it, round the ring; null: nobody is here. In a crowded view
  // one of the sample: those who are known to all would be called by all. Views differ a little in who is of
  // the reserve, so those next to it are known to many, too; by places, not one by one, they are called as
  // seldom as all others.
  std::shared_ptr<const Record> somebody(uint64_t place) const;
  // Some that do not matter, for others' samples: at most count, from a place on. None unless crowded. Half
  // are of those who called us, if so many did: everybody calls as often, while who is known to more would be
  // passed on by more, called by more, and never forgotten.
  std::vector<Payload> sample(uint64_t place, size_t count, int64_t now_ns) const;
  const DirectoryCounters& counters() const { return counters_; }

  // An arc that starts at `first` and covers at most entries_max peers that we pass on, and what we have
  // there: small views are covered whole.
  Arc arc_from(uint64_t first, size_t entries_max) const;
  std::vector<DigestEntry> digest(const Arc& arc) const;

  // Against somebody's digest of an arc: what we have fresher or they lack, at most bytes_max in all,
  // starting somewhere that `start` picks; and the places where they are fresher. Records in the last third
  // of their time are not passed on: if they were still true, a fresher one would be about. Tombstones of
  // peers that the digest names with an older sequence are.
  struct Difference {
    std::vector<Payload> fresher;
    std::vector<uint64_t> wanted;
  };
  Difference difference(const Arc& arc, std::span<const DigestEntry> digest, size_t bytes_max, uint64_t start,
                        int64_t now_ns) const;
  // The last records of these places, of the living or not, at most bytes_max in all; none in the last third
  // of its time.
  std::vector<Payload> records_at(std::span<const uint64_t> places, size_t bytes_max, int64_t now_ns) const;

 private:
  using Kept = std::shared_ptr<const SignedRecord>;
  // What a look at many peers needs stands here, so that their records are not touched.
  struct Known {
    uint64_t place = 0;
    uint64_t sequence = 0;
    int64_t expires_ns = 0;
    int64_t pass_on_until_ns = 0;
    bool matters = true;
    bool called = false;  // its own words; else we have it from others
    Kept kept = nullptr;
  };
  using Peers = std::vector<Known>;

  bool matters(const Record& record) const { return !settings_.matters || settings_.matters(record); }
  bool has_room_for(const Record& record, const PeerId& caller) const;
  bool passes_on(const Known& known) const { return known.matters || known.place <= reserve_end_; }
  size_t passed_on() const;
  size_t reserve_max() const { return std::max<size_t>(1, settings_.others_max / 4); }
  Peers::const_iterator first_from(uint64_t place) const;
  Peers::const_iterator at(uint64_t place) const;  // end: not here
  void erase(uint64_t place);
  void classify(uint64_t place, bool matters);
  void forget_other_for(uint64_t place, std::vector<DirectoryEvent>* events);
  Verdict check(const SignedRecord& fresh, const PeerId& caller) const;
  void put(Kept fresh, int64_t now_ns, std::vector<DirectoryEvent>* events);
  void note_called(uint64_t place);  // nothing happens when it is not here
  void bury(Kept last, std::vector<DirectoryEvent>* events);
  Verdict count(Verdict verdict);
  const Payload* fresher_than(const DigestEntry& entry, int64_t now_ns) const;
  bool lacks(const DigestEntry& entry) const;

  ViewSettings settings_;
  std::shared_ptr<RecordReader> reader_;  // shared: by all views of a simulation
  Peers peers_;                           // by place
  std::vector<uint64_t> others_;          // the places of those that do not matter, ascending
  bool crowded_ = false;
  uint64_t reserve_end_ = UINT64_MAX;
  int64_t next_expiry_ns_ = INT64_MAX;
  // By place, the last record of who has gone: proof for the peer itself, should it come back with a lower
  // sequence.
  std::unordered_map<uint64_t, Kept> tombstones_;
  std::deque<uint64_t> tombstone_order_;  // oldest first; at most tombstones_max, so the map has no more
  DirectoryCounters counters_;
};

}  // namespace agora::peers
