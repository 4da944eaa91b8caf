// Ends an answer before a stop text, also when the text comes in pieces.
//
//   StopWatcher stops({"\n\n", "User:"});
//   show(stops.push(piece));          // what can be shown: never a part of a stop text
//   if (stops.stopped()) ...;
//   show(stops.finish());             // what was held back, when the answer ended otherwise
//
// Empty stop texts are ignored. One thread at a time.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace agora::serve {

class StopWatcher {
 public:
  explicit StopWatcher(std::vector<std::string> stops);

  std::string push(std::string_view piece);
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;  // the end of the text, while it may be the beginning of a stop text
  bool stopped_ = false;
};

}  // namespace agora::serve
