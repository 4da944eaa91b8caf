// SentencePiece behind standard types only. Its headers declare an absl::string_view of their own, so nothing
// that they meet may include absl: errors are texts here (empty: none), and the caller makes them a Status.
//
//   std::string model;
//   std::string error = train_model(options, sentences, &model);
//   SentencePieceModel pieces;   error = pieces.open(model);   pieces.append_ids(unit, ids);
//
// Any thread may call const functions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace agora::model {

class SentencePieceModel {
 public:
  SentencePieceModel();
  ~SentencePieceModel();
  SentencePieceModel(const SentencePieceModel&) = delete;
  SentencePieceModel& operator=(const SentencePieceModel&) = delete;

  std::string open(std::string_view serialized);
  bool append_ids(std::string_view text, std::vector<int32_t>& ids) const;
  int32_t bos_id() const;  // -1: none
  int32_t eos_id() const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

std::string train_model(const std::unordered_map<std::string, std::string>& options,
                        std::vector<std::string> sentences, std::string* serialized);

}  // namespace agora::model
