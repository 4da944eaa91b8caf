// Any bytes as a CSV table; what is accepted has a value for every row and column.
#include <cstddef>
#include <cstdint>

#include "agora/base/check.h"
#include "agora/train/csv.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto table = agora::train::parse_csv({reinterpret_cast<const char*>(data), size}, "input");
  if (!table.ok()) return 0;
  AGORA_CHECK_EQ(table->values.size(), static_cast<size_t>(table->rows) * table->columns.size());
  return 0;
}
