// A text of three kinds that any machine can make: sums, counting, and sentences whose words agree.
//
//   train::Corpus corpus = little_text(seed, 60'000);      // bytes of each kind, a domain each
//
// A pure function: the same bytes everywhere.
#pragma once

#include <cstdint>

#include "agora/train/corpus.h"

namespace agora::sim {

train::Corpus little_text(uint64_t seed, size_t bytes_of_each);

}  // namespace agora::sim
