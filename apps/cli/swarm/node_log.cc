#include "apps/cli/swarm/node_log.h"

#include <algorithm>

#include "agora/base/text.h"
#include <spdlog/logger.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace agora::cli {
namespace {

constexpr char kPattern[] = "%Y-%m-%dT%H:%M:%S.%e %l %v";

bool plain(char c) {
  return c > ' ' && c != '"' && c != '=' && c != '\\' && static_cast<signed char>(c) > 0 && c != 0x7f;
}

}  // namespace

struct NodeLog::Writer {
  spdlog::logger logger;
};

std::string log_value(std::string_view value) {
  if (!value.empty() && std::ranges::all_of(value, plain)) return std::string(value);
  return base::in_quotes(value);
}

StatusOr<std::unique_ptr<NodeLog>> NodeLog::open(const std::string& path, std::string peer) {
  try {  // the library reports a file that can not be opened by exception
    spdlog::sink_ptr sink;
    if (path.empty()) {
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
      sink = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(path, kFileBytesMax, kFilesMax);
    }
    auto writer = std::unique_ptr<Writer>(new Writer{spdlog::logger("agora", std::move(sink))});
    writer->logger.set_pattern(kPattern);
    writer->logger.flush_on(spdlog::level::info);
    // A full disk takes no log lines: life goes on.
    writer->logger.set_error_handler([](const std::string&) {});
    return std::unique_ptr<NodeLog>(new NodeLog(std::move(writer), std::move(peer)));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        base::concat("--log ", path, ": expected a file to write to: ", error.what()));
  }
}

NodeLog::NodeLog(std::unique_ptr<Writer> writer, std::string peer)
    : writer_(std::move(writer)), peer_(std::move(peer)) {}

NodeLog::~NodeLog() = default;

std::string NodeLog::line(std::string_view event, const Fields& fields) const {
  std::string text = base::concat("peer=", log_value(peer_), " event=", log_value(event));
  for (const auto& [key, value] : fields) text += base::concat(" ", key, "=", log_value(value));
  return text;
}

void NodeLog::info(std::string_view event, const Fields& fields) {
  writer_->logger.info("{}", line(event, fields));
}
void NodeLog::warning(std::string_view event, const Fields& fields) {
  writer_->logger.warn("{}", line(event, fields));
}
void NodeLog::error(std::string_view event, const Fields& fields) {
  writer_->logger.error("{}", line(event, fields));
}

}  // namespace agora::cli
