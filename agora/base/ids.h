// Ids are types, so that an expert's number can not be handed to what wants a layer's.
//
//   ExpertId e{3};   e.value == 3;   e == ExpertId{3};
//
// Ids count from 0. Any thread (values).
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace agora {

template <class Tag>
struct Id {
  int32_t value = 0;

  constexpr Id() = default;
  explicit constexpr Id(int64_t v) : value(static_cast<int32_t>(v)) {}
  friend constexpr auto operator<=>(Id, Id) = default;
};

using ExpertId = Id<struct ExpertTag>;  // within a layer
using LayerId = Id<struct LayerTag>;
using TokenIndex = Id<struct TokenTag>;  // a row of the batch at hand

}  // namespace agora

template <class Tag>
struct std::hash<agora::Id<Tag>> {
  size_t operator()(agora::Id<Tag> id) const noexcept { return std::hash<int32_t>()(id.value); }
};
