// Files by whole content, where they may be the machine's or a simulation's, whose disk fails on purpose.
//
//   RealFiles files;   AGORA_RETURN_IF_ERROR(files.write("state/experts/0.3.safetensors", bytes));
//
// For code that the simulator runs; else see atomic_file.h, which this is of. Any thread (RealFiles).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agora/base/bytes.h"
#include "agora/base/result.h"

namespace agora::weights {

class Files {
 public:
  virtual ~Files() = default;
  // The names of what is in a folder, at most so many, ascending; none where there is no such folder. What a
  // process left half written when it was killed is removed.
  virtual std::vector<std::string> list(const std::string& folder, size_t names_max) = 0;
  // The file is there whole or not at all; its folder is made if need be.
  virtual Status write(const std::string& folder, const std::string& name, base::Bytes content) = 0;
  virtual StatusOr<std::string> read(const std::string& path, int64_t bytes_max) = 0;
  virtual void remove(const std::string& path) = 0;  // nothing happens if it is not there
};

class RealFiles final : public Files {
 public:
  std::vector<std::string> list(const std::string& folder, size_t names_max) override;
  Status write(const std::string& folder, const std::string& name, base::Bytes content) override;
  StatusOr<std::string> read(const std::string& path, int64_t bytes_max) override;
  void remove(const std::string& path) override;
};

}  // namespace agora::weights
