// A training run that takes a second: two domains of text, a small model.
#pragma once

#include <string>
#include <vector>

#include "tests/e2e/process.h"

namespace agora::e2e {

inline void write_two_domains(const std::filesystem::path& dir) {
  std::string numbers;
  std::string letters;
  for (int i = 0; i < 3000; ++i) {
    numbers += std::to_string(i * i) + (i % 8 == 7 ? "\n" : " ");
    letters +=
        std::string(1, static_cast<char>('a' + i % 26)) + "pple of row " + std::to_string(i % 10) + "\n";
  }
  base::write_text(dir / "numbers" / "squares.txt", numbers);
  base::write_text(dir / "letters" / "apples.txt", letters);
}

// agora train on `data` into `out`, in JSON lines.
inline std::vector<std::string> small_train(const std::string& data, const std::string& out,
                                            const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"train",
                                        "--json",
                                        "--data",
                                        data,
                                        "--out",
                                        out,
                                        "--tokenizer",
                                        "bytes",
                                        "--layers",
                                        "2",
                                        "--width",
                                        "32",
                                        "--heads",
                                        "2",
                                        "--experts",
                                        "4",
                                        "--hidden",
                                        "32",
                                        "--sequence",
                                        "32",
                                        "--batch",
                                        "4",
                                        "--steps",
                                        "40",
                                        "--warmup",
                                        "5",
                                        "--seed",
                                        "3",
                                        "--validate-every",
                                        "20",
                                        "--save-every",
                                        "1000"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace agora::e2e
