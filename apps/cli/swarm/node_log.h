// What a peer writes down: one line an event, as `key=value`, with who it is in each.
//
//   AGORA_ASSIGN_OR_RETURN(auto log, NodeLog::open("state/log", me.brief()));
//   log->info("peer seen", {{"other", id.brief()}, {"at", endpoint.text()}});
//   log->warning("call failed", {{"request", hex}, {"error", message}});
//
//   2026-01-31T12:00:00.123 info peer=1f2e3d4c event="peer seen" other=99aabbcc at=127.0.0.1:4700
//
// A value with blanks, quotes or control characters stands in quotes, escaped: nobody's name makes a line
// of its own. Any thread; a line is written at once, whole.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agora/base/result.h"

namespace agora::cli {

class NodeLog {
 public:
  using Fields = std::vector<std::pair<std::string_view, std::string>>;
  static constexpr size_t kFileBytesMax = 16 << 20;  // then the file is put aside as FILE.1, and begun anew
  static constexpr size_t kFilesMax = 2;

  // path: a file, appended to; empty: standard error. peer: goes into every line.
  static StatusOr<std::unique_ptr<NodeLog>> open(const std::string& path, std::string peer);
  ~NodeLog();

  void info(std::string_view event, const Fields& fields = {});
  void warning(std::string_view event, const Fields& fields = {});
  void error(std::string_view event, const Fields& fields = {});

 private:
  struct Writer;
  NodeLog(std::unique_ptr<Writer> writer, std::string peer);
  std::string line(std::string_view event, const Fields& fields) const;

  std::unique_ptr<Writer> writer_;
  std::string peer_;
};

// value, or "value" with what is not plain escaped.
std::string log_value(std::string_view value);

}  // namespace agora::cli
