#include "agora/kernels/table.h"

#include <algorithm>

#include "agora/kernels/cpu/portable.h"
#include "agora/kernels/platform_tables.h"
#include "agora/kernels/reference/table.h"

namespace agora::kernels {
namespace {

// Every table for these features, the best first.
std::vector<Table> build(const CpuFeatures& features) {
  const std::vector<Table> portable = cpu::portable_tables();
  std::vector<Table> all = platform_tables(features);
  all.insert(all.end(), portable.begin(), portable.end());
  all.push_back(reference::table());
  return all;
}

// Built on first use, constant from then on: one set for each value that CpuFeatures can have.
const std::vector<Table>& tables(const CpuFeatures& features) {
  if (features.amx_bf16) {
    static const std::vector<Table> amx = build({.avx512_bf16 = true, .amx_bf16 = true});
    return amx;
  }
  if (features.avx512_bf16) {
    static const std::vector<Table> avx512 = build({.avx512_bf16 = true, .amx_bf16 = false});
    return avx512;
  }
  static const std::vector<Table> portable = build({});
  return portable;
}

}  // namespace

const Table& best_table(const CpuFeatures& features) { return tables(features).front(); }

std::vector<const Table*> all_tables(const CpuFeatures& features) {
  std::vector<const Table*> result;
  for (const Table& table : tables(features)) result.push_back(&table);
  return result;
}

const Table* find_table(std::string_view name, const CpuFeatures& features) {
  const std::vector<Table>& all = tables(features);
  const auto found = std::find_if(all.begin(), all.end(), [&](const Table& table) {
    return table.name == name || (name == "portable" && table.name.starts_with("portable_"));
  });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace agora::kernels
