#include "agora/model/sentencepiece_bridge.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <exception>
#include <utility>

namespace agora::model {
namespace {

namespace sp = sentencepiece;

// Sentences from memory.
class Sentences final : public sp::SentenceIterator {
 public:
  explicit Sentences(std::vector<std::string> sentences) : sentences_(std::move(sentences)) {}
  bool done() const override { return next_ >= sentences_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return sentences_[next_]; }
  sp::util::Status status() const override { return {}; }

 private:
  std::vector<std::string> sentences_;
  size_t next_ = 0;
};

// The library reports most errors as a status, but its index builder throws.
template <class Call>
std::string error_of(Call call) {
  try {
    const sp::util::Status status = call();
    return status.ok() ? std::string() : status.ToString();
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

struct SentencePieceModel::Library {
  sp::SentencePieceProcessor processor;
};

SentencePieceModel::SentencePieceModel() : library_(std::make_unique<Library>()) {}
SentencePieceModel::~SentencePieceModel() = default;

std::string SentencePieceModel::open(std::string_view serialized) {
  return error_of([&] { return library_->processor.LoadFromSerializedProto(serialized); });
}

bool SentencePieceModel::append_ids(std::string_view text, std::vector<int32_t>& ids) const {
  std::vector<int> found;
  if (!library_->processor.Encode(text, &found).ok()) return false;
  ids.insert(ids.end(), found.begin(), found.end());
  return true;
}

int32_t SentencePieceModel::bos_id() const { return library_->processor.bos_id(); }
int32_t SentencePieceModel::eos_id() const { return library_->processor.eos_id(); }

std::string train_model(const std::unordered_map<std::string, std::string>& options,
                        std::vector<std::string> sentences, std::string* serialized) {
  Sentences iterator(std::move(sentences));
  return error_of([&] { return sp::SentencePieceTrainer::Train(options, &iterator, serialized); });
}

}  // namespace agora::model
