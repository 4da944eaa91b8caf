#include "agora/kernels/table.h"

#include <algorithm>

#include "agora/kernels/cpu/portable.h"
#include "agora/kernels/platform_tables.h"
#include "agora/kernels/reference/table.h"

namespace agora::kernels {
namespace {

// Every table for these features, the best first. Built on first use, constant from then on.
struct Tables {
  explicit Tables(const CpuFeatures& features) : portable(cpu::portable_tables()) {
    all = platform_tables(features, portable.front());
    all.insert(all.end(), portable.begin(), portable.end());
    all.push_back(reference::table());
  }
  std::vector<Table> portable;
  std::vector<Table> all;
};

// One set for each value that CpuFeatures can have.
const Tables& tables(const CpuFeatures& features) {
  if (features.amx_bf16) {
    static const Tables amx(CpuFeatures{.avx512_bf16 = true, .amx_bf16 = true});
    return amx;
  }
  if (features.avx512_bf16) {
    static const Tables avx512(CpuFeatures{.avx512_bf16 = true, .amx_bf16 = false});
    return avx512;
  }
  static const Tables portable{CpuFeatures{}};
  return portable;
}

}  // namespace

const Table& best_table(const CpuFeatures& features) { return tables(features).all.front(); }

std::vector<const Table*> all_tables(const CpuFeatures& features) {
  std::vector<const Table*> result;
  for (const Table& table : tables(features).all) result.push_back(&table);
  return result;
}

const Table* find_table(std::string_view name, const CpuFeatures& features) {
  if (name == "portable") return &tables(features).portable.front();
  const std::vector<Table>& all = tables(features).all;
  const auto found = std::find_if(all.begin(), all.end(), [&](const Table& table) { return table.name == name; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace agora::kernels
