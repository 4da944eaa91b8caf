// The numbers that a running directory lives by: how often, how many, how long.
//
//   if (exchanges_open_ < kExchangesMax) ...
//
// Any thread (constants).
#pragma once

#include <cstddef>
#include <cstdint>

#include "agora/base/loop.h"

namespace agora::peers {

constexpr int64_t kPublishEveryNs = base::kSecondNs;  // of one peer's records, at most
// Of how many peers that matter (view.h) a record's change and its refreshing cost as much as there may be:
// with more, everybody changes and refreshes as much less often.
constexpr size_t kChangesShared = 64;
constexpr size_t kRefreshesShared = 256;
constexpr uint32_t kTtlFactorMax = 8;
constexpr int64_t kTickNs = base::kSecondNs;                 // an exchange each
constexpr int64_t kTickBusyNs = 200 * base::kMillisecondNs;  // while they bring strangers
constexpr int64_t kPushNs = 100 * base::kMillisecondNs;      // news waits so long for company
constexpr size_t kPushContacts = 3;                          // each piece of news goes on to
constexpr int64_t kContactsNewNs = 10 * base::kSecondNs;     // then one is replaced
constexpr int64_t kCallNs = 2 * base::kSecondNs;             // deadline of every call
// Of a caller, for our loop: most of a second's, and a full push takes it 15 ms of checking signatures.
constexpr int kCallsWaitingMax = 8;
constexpr int64_t kLeaveNs = base::kSecondNs;
constexpr int64_t kAloneNs = 5 * base::kSecondNs;            // without a word from anybody
constexpr size_t kSampleRecords = 4;                         // in a reply, of peers that do not matter to all
constexpr int kExchangesMax = 8;                             // under way
constexpr size_t kSeedsMax = 16;                             // endpoints to join; the first ones make room
constexpr int64_t kSeedWaitNs = 500 * base::kMillisecondNs;  // doubles
constexpr int64_t kSeedWaitMaxNs = 15 * base::kSecondNs;
constexpr int64_t kDhtFirstNs = base::kSecondNs;             // contact goes first
constexpr int64_t kDhtEnterNs = 300 * base::kMillisecondNs;  // from the first words with its nodes to its use
constexpr size_t kDhtDoors = 4;                              // nodes of contacts that it is entered by
constexpr int64_t kDhtAloneNs = 500 * base::kMillisecondNs;  // between uses of the DHT while alone; doubles
constexpr int64_t kDhtAloneTtlShare = 8;  // up to this part of a record's time: found often enough to stay
constexpr int64_t kDhtTtlShare = 2;       // while in contact
constexpr size_t kLookupsMax = 8;         // under way
constexpr size_t kLookupsQueuedMax = 256;
constexpr int64_t kSilentNs = 300 * base::kSecondNs;  // who did not answer is not looked up again for so long
constexpr size_t kSilentMax = 256;
constexpr size_t kLookupsInContact = 4;  // for each answer: contacts bring the rest sooner and cheaper

}  // namespace agora::peers
