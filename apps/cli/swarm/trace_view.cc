#include "apps/cli/swarm/trace_view.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/text.h"
#include "agora/serve/trace_json.h"
#include <nlohmann/json.hpp>

#include "apps/cli/terminal_table.h"

namespace agora::cli {
namespace {

constexpr size_t kDigits = 16;
constexpr int kBarColumnsMax = 24;
constexpr int kBarShare = 6;  // of the terminal's columns: one in so many

// As a double: peers may say of their spans what they like.
double end_ns(const TracedSpan& span) {
  return static_cast<double>(span.begin_ns) + static_cast<double>(span.span.duration_ns);
}

// Where in the whole request the span lies: "   ███      ".
std::string bar(const TracedSpan& span, double whole_ns, int columns) {
  const double scale = columns / std::max(whole_ns, 1.0);
  const int begin = std::min(columns - 1, static_cast<int>(static_cast<double>(span.begin_ns) * scale));
  const int end = std::clamp(static_cast<int>(end_ns(span) * scale), begin + 1, columns);
  std::string text(static_cast<size_t>(begin), ' ');
  for (int i = begin; i < end; ++i) text += "█";
  return text;
}

std::string milliseconds(int64_t ns) { return absl::StrFormat("%.3f", 1e-6 * static_cast<double>(ns)); }

}  // namespace

std::vector<TracedSpan> in_order(std::vector<TracedSpan> spans) {
  std::ranges::stable_sort(spans, {}, &TracedSpan::begin_ns);
  if (spans.empty()) return spans;
  const int64_t first_ns = spans.front().begin_ns;
  for (TracedSpan& span : spans) span.begin_ns -= first_ns;
  return spans;
}

std::string trace_text(const std::vector<TracedSpan>& spans, int columns) {
  double whole_ns = 0;
  for (const TracedSpan& s : spans) whole_ns = std::max(whole_ns, end_ns(s));
  const int bar_columns = std::clamp(columns / kBarShare, 1, kBarColumnsMax);
  TerminalTable table(
      {{"at ms", Align::right}, {"for ms", Align::right}, {""}, {"peer"}, {"what"}, {"detail"}});
  for (const TracedSpan& s : spans) {
    table.add_row({milliseconds(s.begin_ns), milliseconds(s.span.duration_ns), bar(s, whole_ns, bar_columns),
                   s.peer.brief(), s.span.what, s.span.detail});
  }
  return table.text(columns);
}

nlohmann::ordered_json trace_json(const std::vector<TracedSpan>& spans) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const TracedSpan& s : spans) {
    list.push_back({{"peer", s.peer.text()},
                    {"what", serve::json_text(s.span.what)},
                    {"detail", serve::json_text(s.span.detail)},
                    {"begin_ns", s.begin_ns},
                    {"duration_ns", s.span.duration_ns}});
  }
  return list;
}

StatusOr<uint64_t> parse_request(const std::string& text) {
  uint64_t request = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), request, 16);
  const bool whole = end == text.data() + text.size() && error == std::errc();
  if (whole && request != 0 && text.size() <= kDigits) return request;
  return absl::InvalidArgumentError(
      absl::StrCat("expected the number of a request as `agora ask --swarm` shows it, "
                   "up to 16 hexadecimal digits, found ",
                   base::in_quotes(text)));
}

}  // namespace agora::cli
