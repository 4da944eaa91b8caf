#include "agora/model/sentencepiece_tokenizer.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "agora/base/text.h"
#include "agora/base/utf8.h"
#include "agora/model/sentencepiece_bridge.h"
#include "agora/model/sentencepiece_proto.h"
#include "agora/model/tokenizer_files.h"

namespace agora::model {

using base::concat;
using base::utf8_at;
using base::Utf8Char;

namespace {

constexpr std::string_view kSpaceMark = "\xe2\x96\x81";  // U+2581, SentencePiece's own
constexpr uint32_t kSpaceMarkCode = 0x2581;
constexpr uint32_t kUnknownMarkCode = 0x2585;  // reserved by its trainer, like the tab
constexpr size_t kUnitBytesMax = 1 << 16;  // longer ones are cut: BPE's time grows faster than their length
constexpr size_t kSentenceBytesMax = 1024;
constexpr int32_t kFixedPieces = 3 + 256;     // <unk>, <s>, </s> and the bytes
constexpr const char* kTrainerThreads = "2";  // fixed: the sums of the unigram trainer depend on it

// Characters that never reach SentencePiece: the model has byte pieces for them, or the text no character.
bool goes_by_bytes(const Utf8Char& c) {
  return c.bytes == 0 || c.code == 0 || c.code == '\t' || c.code == kSpaceMarkCode;
}

// The most frequent characters, at most `limit`: the others are left to the byte pieces, so that a sample
// with many scripts does not fill the vocabulary with single characters.
std::unordered_set<uint32_t> frequent_characters(std::string_view sample, size_t limit) {
  std::unordered_map<uint32_t, int64_t> counts;
  for (size_t i = 0; i < sample.size();) {
    const Utf8Char c = utf8_at(sample, i);
    i += static_cast<size_t>(std::max(c.bytes, 1));
    if (!goes_by_bytes(c) && c.code != kUnknownMarkCode) ++counts[c.code];
  }
  std::vector<std::pair<int64_t, uint32_t>> ranked;
  for (const auto& [code, count] : counts) ranked.emplace_back(-count, code);
  std::sort(ranked.begin(), ranked.end());
  if (ranked.size() > limit) ranked.resize(limit);
  std::unordered_set<uint32_t> kept;
  for (const auto& [count, code] : ranked) kept.insert(code);
  return kept;
}

// Lines, each with the line ends before it, cut where a character is left to the byte pieces.
std::vector<std::string> sentences_of(std::string_view sample,
                                      const std::unordered_set<uint32_t>& characters) {
  std::vector<std::string> sentences(1);
  for (size_t i = 0; i < sample.size();) {
    const Utf8Char c = utf8_at(sample, i);
    const auto bytes = static_cast<size_t>(std::max(c.bytes, 1));
    const bool kept = c.bytes > 0 && characters.contains(c.code);
    const bool new_line = sample[i] == '\n' && i > 0 && sample[i - 1] != '\n';
    const bool full = sentences.back().size() >= kSentenceBytesMax;
    if ((!kept || new_line || full) && !sentences.back().empty()) sentences.emplace_back();
    if (kept) sentences.back().append(sample.substr(i, bytes));
    i += bytes;
  }
  if (sentences.back().empty()) sentences.pop_back();
  return sentences;
}

std::string byte_piece(int byte) {
  char name[8];
  std::snprintf(name, sizeof name, "<0x%02X>", byte);
  return name;
}

// The text of a piece: the mark turned back into a space.
std::string with_spaces(std::string_view piece) {
  std::string text;
  for (size_t i = 0; i < piece.size();) {
    const bool space = piece.substr(i).starts_with(kSpaceMark);
    text += space ? ' ' : piece[i];
    i += space ? kSpaceMark.size() : 1;
  }
  return text;
}

// Whether such a piece may be cut where a unit ends.
bool crosses_units(std::string_view text) {
  for (size_t i = 1; i < text.size(); ++i) {
    if ((text[i] == ' ' || text[i] == '\n') && text[i - 1] != text[i]) return true;
  }
  return text.find('\t') != text.npos;
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  // The outline is of the same model.
  Status open(std::string model, const ModelOutline& outline, const std::string& file, bool bos_in_front) {
    const std::string error = pieces_.open(outline.space_in_front ? without_space_in_front(model) : model);
    if (!error.empty()) return absl::InvalidArgumentError(concat(file, ": ", error));
    if (bos_in_front && pieces_.bos_id() < 0) {
      return absl::InvalidArgumentError(
          concat(file, ": its texts shall begin with a piece for that (add_bos_token), but it has none"));
    }
    model_ = std::move(model);
    bos_in_front_ = bos_in_front;
    kind_ = outline.kind;
    space_in_front_ = outline.space_in_front;
    names_.resize(outline.pieces.size());
    bytes_of_.resize(outline.pieces.size());
    byte_ids_.fill(-1);
    for (size_t id = 0; id < outline.pieces.size(); ++id)
      set_piece(static_cast<int32_t>(id), outline.pieces[id]);
    for (int byte = 0; byte < 256; ++byte) {
      if (byte_ids_[static_cast<size_t>(byte)] >= 0) continue;
      return absl::InvalidArgumentError(
          concat(file, ": the piece ", byte_piece(byte), " is missing; train with byte fallback"));
    }
    return absl::OkStatus();
  }

  TokenizerKind kind() const override { return kind_; }
  int32_t vocab_size() const override { return static_cast<int32_t>(bytes_of_.size()); }
  int32_t bos_id() const override { return pieces_.bos_id(); }
  int32_t eos_id() const override { return pieces_.eos_id(); }
  bool bos_in_front() const override { return bos_in_front_; }

  std::string_view token_bytes(int32_t id) const override {
    return id >= 0 && id < vocab_size() ? bytes_of_[static_cast<size_t>(id)] : std::string_view();
  }

  bool lines_are_apart() const override { return !space_in_front_ && !whole_; }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string text = Tokenizer::decode(ids);
    if (space_in_front_ && text.starts_with(' ')) text.erase(0, 1);
    return text;
  }

  StatusOr<std::vector<int32_t>> encode(std::string_view text) const override {
    std::vector<int32_t> ids;
    Seen seen;
    append_text(text, seen, ids);
    return ids;
  }

  StatusOr<EncodedTexts> encode_all(std::span<const std::string_view> texts) const override {
    EncodedTexts encoded;
    Seen seen;
    for (const std::string_view text : texts) {
      append_text(text, seen, encoded.ids);
      encoded.ends.push_back(encoded.ids.size());
    }
    return encoded;
  }

  Status save(const std::string& dir) const override {
    return write_tokenizer(dir, sentencepiece_config(kind_, model_, space_in_front_, bos_in_front_), model_);
  }

 protected:
  std::string control_name(int32_t id) const override {
    return id >= 0 && id < vocab_size() ? names_[static_cast<size_t>(id)] : Tokenizer::control_name(id);
  }

 private:
  struct Range {
    size_t begin;
    size_t count;
  };
  using Seen = std::unordered_map<std::string_view, Range>;  // unit -> where its ids stand in the output

  void set_piece(int32_t id, const ModelOutline::Piece& piece) {
    names_[static_cast<size_t>(id)] = piece.text;
    std::string& bytes = bytes_of_[static_cast<size_t>(id)];
    if (piece.type == ModelOutline::kByte) {
      unsigned value = 256;
      if (std::sscanf(piece.text.c_str(), "<0x%2X>", &value) == 1 && value < 256) {
        bytes = static_cast<char>(value);
        byte_ids_[value] = id;
      }
    } else if (piece.type != ModelOutline::kControl && piece.type != ModelOutline::kUnknown) {
      bytes = with_spaces(piece.text);
      whole_ = whole_ || crosses_units(bytes);
    }
  }

  void append_text(std::string_view text, Seen& seen, std::vector<int32_t>& ids) const {
    if (text.empty()) return;
    size_t unit = 0;        // where the unit at hand starts
    bool in_spaces = true;  // of the unit: no other character yet
    const auto append_until = [&](size_t end) {
      const std::string_view own = text.substr(unit, end - unit);
      if (unit == 0 && space_in_front_) return append_fresh(concat(" ", own), ids);
      append_unit(own, seen, ids);
    };
    for (size_t i = 0; i < text.size();) {
      const Utf8Char c = utf8_at(text, i);
      const auto bytes = static_cast<size_t>(std::max(c.bytes, 1));
      const bool by_bytes = goes_by_bytes(c) && !(whole_ && c.code == '\t');
      const bool starts_word = !whole_ && c.code == ' ' && !in_spaces;
      const bool starts_line = !whole_ && c.code == '\n' && i > 0 && text[i - 1] != '\n';
      if (by_bytes || starts_word || starts_line || i - unit >= kUnitBytesMax) {
        append_until(i);
        unit = i;
        in_spaces = true;
      }
      if (by_bytes) {
        append_bytes(text.substr(i, bytes), ids);
        unit = i + bytes;
      } else {
        in_spaces = in_spaces && c.code == ' ';
      }
      i += bytes;
    }
    append_until(text.size());
  }

  void append_bytes(std::string_view bytes, std::vector<int32_t>& ids) const {
    for (const char byte : bytes) ids.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
  }

  void append_fresh(std::string_view unit, std::vector<int32_t>& ids) const {
    const size_t begin = ids.size();
    if (pieces_.append_ids(unit, ids) && Tokenizer::decode(std::span(ids).subspan(begin)) == unit) return;
    ids.resize(begin);  // a model from elsewhere may have no piece for a character: its bytes always do
    append_bytes(unit, ids);
  }

  void append_unit(std::string_view unit, Seen& seen, std::vector<int32_t>& ids) const {
    if (unit.empty()) return;
    const auto [found, is_new] = seen.try_emplace(unit, Range{ids.size(), 0});
    if (is_new) {
      append_fresh(unit, ids);
      found->second.count = ids.size() - found->second.begin;
    } else {
      for (size_t i = 0; i < found->second.count; ++i) ids.push_back(ids[found->second.begin + i]);
    }
  }

  SentencePieceModel pieces_;
  std::vector<std::string> names_;  // by id, as the model has them
  std::string model_;
  TokenizerKind kind_ = TokenizerKind::unigram;
  bool space_in_front_ = false;          // of every text; decode() takes it away
  bool bos_in_front_ = false;            // of every prompt
  bool whole_ = false;                   // a piece may cross what would be two units
  std::vector<std::string> bytes_of_;    // by id
  std::array<int32_t, 256> byte_ids_{};  // by byte
};

}  // namespace

StatusOr<std::string> train_sentencepiece(std::string_view sample, TokenizerKind kind, int32_t vocabulary) {
  const auto characters = frequent_characters(sample, static_cast<size_t>((vocabulary - kFixedPieces) / 3));
  std::vector<std::string> sentences = sentences_of(sample, characters);
  if (sentences.empty()) return absl::InvalidArgumentError("there is no text to train a tokenizer on");

  // The trainers end the whole program where nothing repeats, and a model needs a piece for the space.
  sentences.emplace_back("the the the the the the the the");

  const std::unordered_map<std::string, std::string> options = {
      {"model_type", kind == TokenizerKind::bpe ? "bpe" : "unigram"},
      {"vocab_size", std::to_string(vocabulary)},
      {"hard_vocab_limit", "false"},  // a small text has fewer pieces; that is no error
      {"byte_fallback", "true"},
      {"character_coverage", "1.0"},
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"add_dummy_prefix", "false"},
      {"allow_whitespace_only_pieces", "true"},  // indentation
      {"split_digits", "true"},
      {"max_sentence_length", std::to_string(2 * kSentenceBytesMax)},
      {"unk_id", "0"},
      {"bos_id", "1"},
      {"eos_id", "2"},
      {"num_threads", kTrainerThreads},
      {"minloglevel", "2"},  // errors come as a status
  };
  std::string model;
  const std::string error = train_model(options, std::move(sentences), &model);
  if (!error.empty()) return absl::InternalError(concat("SentencePiece: ", error));
  return model;
}

StatusOr<std::unique_ptr<Tokenizer>> open_sentencepiece(std::string model, const std::string& file,
                                                        bool bos_in_front) {
  AGORA_ASSIGN_OR_RETURN(const ModelOutline outline, read_outline(model, file));
  auto tokenizer = std::make_unique<SentencePieceTokenizer>();
  AGORA_RETURN_IF_ERROR(tokenizer->open(std::move(model), outline, file, bos_in_front));
  return tokenizer;
}

}  // namespace agora::model
