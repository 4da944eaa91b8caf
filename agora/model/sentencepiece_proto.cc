#include "agora/model/sentencepiece_proto.h"

#include <bit>
#include <cmath>

#include "agora/base/bytes.h"
#include "agora/base/text.h"

namespace agora::model {

using base::ByteReader;
using base::Bytes;
using base::concat;
using base::in_quotes;

namespace {

constexpr size_t kPieceBytesMax = 1024;

// How a field's value is written, in the three low bits of its tag.
enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

constexpr uint32_t tag_of(uint32_t number, Wire wire) { return number << 3 | wire; }

// One field of a message. A number that comes with another wire type than its own is another field:
// SentencePiece passes over it.
struct Field {
  uint32_t tag = 0;
  uint64_t value = 0;  // of varint and fixed fields
  Bytes bytes;         // of length-delimited fields
};

bool read_varint(ByteReader& in, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint8_t byte = 0;
    if (!in.read_le(&byte)) return false;
    *value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool read_field(ByteReader& in, Field* field) {
  uint64_t tag = 0;
  if (!read_varint(in, &tag) || tag > UINT32_MAX) return false;  // SentencePiece would read its low 32 bits
  *field = {};
  field->tag = static_cast<uint32_t>(tag);
  uint32_t fixed = 0;
  switch (field->tag & 7) {
    case kVarint:
      return read_varint(in, &field->value);
    case kFixed64:
      return in.read_le(&field->value);
    case kBytes:
      return read_varint(in, &field->value) && in.take(field->value, &field->bytes);
    case kFixed32:
      if (!in.read_le(&fixed)) return false;
      field->value = fixed;
      return true;
    default:
      return false;
  }
}

class OutlineReader {
 public:
  explicit OutlineReader(const std::string& file) : file_(file) {}

  Status read(std::string_view model) {
    AGORA_RETURN_IF_ERROR(each_field(base::as_bytes(model), [this](const Field& field) {
      switch (field.tag) {
        case tag_of(1, kBytes):
          return read_piece(field.bytes);
        case tag_of(2, kBytes):
          return read_trainer(field.bytes);
        case tag_of(3, kBytes):
          AGORA_RETURN_IF_ERROR(read_white_space(field.bytes));
          return read_normaliser(field.bytes);
        case tag_of(5, kBytes):
          return read_normaliser(field.bytes);
        default:
          return absl::OkStatus();
      }
    }));
    return check_white_space();
  }
  ModelOutline take() { return std::move(outline_); }

 private:
  template <class Use>
  Status each_field(Bytes message, Use use) {
    ByteReader in(message);
    while (in.remaining() > 0) {
      Field field;
      if (!read_field(in, &field)) return bad("it is damaged or not a SentencePiece model");
      AGORA_RETURN_IF_ERROR(use(field));
    }
    return absl::OkStatus();
  }

  Status read_piece(Bytes message) {
    ModelOutline::Piece piece;
    float score = 0;
    AGORA_RETURN_IF_ERROR(each_field(message, [&](const Field& field) {
      if (field.tag == tag_of(1, kBytes)) piece.text = base::as_text(field.bytes);
      if (field.tag == tag_of(2, kFixed32)) score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
      if (field.tag == tag_of(3, kVarint)) piece.type = static_cast<int32_t>(field.value);
      return absl::OkStatus();
    }));
    const bool text_ok = !piece.text.empty() && piece.text.size() <= kPieceBytesMax &&
                         piece.text.find('\0') == piece.text.npos;
    if (!text_ok || !std::isfinite(score)) {
      return bad(concat("piece ", outline_.pieces.size(), ", ", in_quotes(piece.text), ", is not usable"));
    }
    if (outline_.pieces.size() >= kVocabularyMax) return bad(concat("more than ", kVocabularyMax, " pieces"));
    outline_.pieces.push_back(std::move(piece));
    return absl::OkStatus();
  }

  Status read_trainer(Bytes message) {
    return each_field(message, [this](const Field& field) {
      constexpr uint64_t kUnigram = 1, kBpe = 2;
      constexpr uint32_t kModelType = tag_of(3, kVarint);
      if (field.tag == tag_of(24, kVarint)) spaces_end_words_ = field.value != 0;
      if (field.tag != kModelType) return absl::OkStatus();
      if (field.value != kUnigram && field.value != kBpe) return bad("its type is not unigram or BPE");
      outline_.kind = field.value == kBpe ? TokenizerKind::bpe : TokenizerKind::unigram;
      return absl::OkStatus();
    });
  }

  Status read_white_space(Bytes message) {
    return each_field(message, [this](const Field& field) {
      if (field.tag == tag_of(3, kVarint)) outline_.space_in_front = field.value != 0;
      if (field.tag == tag_of(4, kVarint)) drops_spaces_ = field.value != 0;
      if (field.tag == tag_of(5, kVarint)) marks_spaces_ = field.value != 0;
      return absl::OkStatus();
    });
  }

  // After the whole model: of a field that comes again the last value counts.
  Status check_white_space() const {
    if (drops_spaces_) {
      return bad("it drops spaces, so text would not come back; train with remove_extra_whitespaces=false");
    }
    if (spaces_end_words_) {
      return bad("its spaces end words, expected that they begin them: treat_whitespace_as_suffix=false");
    }
    if (!marks_spaces_) return bad("its pieces hold spaces unmarked, expected escape_whitespaces=true");
    return absl::OkStatus();
  }

  Status read_normaliser(Bytes message) {
    return each_field(message, [this](const Field& field) {
      constexpr uint32_t kCharacterMap = tag_of(2, kBytes);
      if (field.tag != kCharacterMap || field.bytes.empty()) return absl::OkStatus();
      return bad(
          "it normalises characters, so text would not come back as it was; train with the rule identity");
    });
  }

  Status bad(const std::string& what) const { return absl::InvalidArgumentError(concat(file_, ": ", what)); }

  const std::string& file_;
  ModelOutline outline_;
  bool drops_spaces_ = true;  // here and below: as SentencePiece has it where the model says nothing
  bool marks_spaces_ = true;
  bool spaces_end_words_ = false;
};

}  // namespace

StatusOr<ModelOutline> read_outline(std::string_view model, const std::string& file) {
  OutlineReader reader(file);
  AGORA_RETURN_IF_ERROR(reader.read(model));
  return reader.take();
}

std::string without_space_in_front(std::string model) {
  // normalizer_spec { add_dummy_prefix: false }
  constexpr char kField[] = {tag_of(3, kBytes), 2, tag_of(3, kVarint), 0};
  return model.append(kField, sizeof kField);
}

}  // namespace agora::model
