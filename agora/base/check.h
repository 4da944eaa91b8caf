// Checks for bugs of ours: on in release too, never reachable from input (input errors are Status, see
// result.h).
//
//   AGORA_CHECK(ready_);
//   AGORA_CHECK_EQ(x.cols, weight.cols);     // prints both values
//
// Any thread. A failed check prints the place and the values, and aborts.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace agora::base {

[[noreturn]] inline void check_failed(const char* file, int line, const char* what,
                                      const std::string& values) {
  std::fprintf(stderr, "%s:%d: check failed: %s%s\n", file, line, what, values.c_str());
  std::abort();
}

template <class A, class B>
[[noreturn]] void check_failed_values(const char* file, int line, const char* what, const A& a, const B& b) {
  std::ostringstream values;
  values << " (" << a << " vs. " << b << ")";
  check_failed(file, line, what, values.str());
}

}  // namespace agora::base

#define AGORA_CHECK(condition) \
  ((condition) ? void() : ::agora::base::check_failed(__FILE__, __LINE__, #condition, ""))

#define AGORA_CHECK_OP_(a, op, b)                                                                    \
  do {                                                                                               \
    const auto& agora_a_ = (a);                                                                      \
    const auto& agora_b_ = (b);                                                                      \
    if (!(agora_a_ op agora_b_))                                                                     \
      ::agora::base::check_failed_values(__FILE__, __LINE__, #a " " #op " " #b, agora_a_, agora_b_); \
  } while (false)

#define AGORA_CHECK_EQ(a, b) AGORA_CHECK_OP_(a, ==, b)
#define AGORA_CHECK_NE(a, b) AGORA_CHECK_OP_(a, !=, b)
#define AGORA_CHECK_LT(a, b) AGORA_CHECK_OP_(a, <, b)
#define AGORA_CHECK_LE(a, b) AGORA_CHECK_OP_(a, <=, b)
#define AGORA_CHECK_GT(a, b) AGORA_CHECK_OP_(a, >, b)
#define AGORA_CHECK_GE(a, b) AGORA_CHECK_OP_(a, >=, b)
