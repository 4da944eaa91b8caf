// Every table that this machine can run, in both precisions: the cases of the kernels' tests.
//
//   class Matmul : public testing::TestWithParam<TableCase> { ... };
//   INSTANTIATE_TEST_SUITE_P(Tables, Matmul, testing::ValuesIn(table_cases()), name_of_case);
//
// Tests only.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "agora/kernels/table.h"
#include <gtest/gtest.h>

namespace agora::kernels {

struct TableCase {
  const Table* table;
  Precision precision;

  std::string name() const {
    return std::string(table->name) + (precision == Precision::bf16 ? "_in_bf16" : "_in_f32");
  }
  friend std::ostream& operator<<(std::ostream& out, const TableCase& c) { return out << c.name(); }
};

inline std::vector<TableCase> table_cases() {
  std::vector<TableCase> cases;
  for (const Table* table : all_tables(cpu_features())) {
    cases.push_back({table, Precision::bf16});
    cases.push_back({table, Precision::f32});
  }
  return cases;
}

inline std::string name_of_case(const testing::TestParamInfo<TableCase>& info) { return info.param.name(); }

}  // namespace agora::kernels
