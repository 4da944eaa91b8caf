#include "agora/model/tokenizer_files.h"

#include <set>

#include "absl/functional/function_ref.h"
#include "agora/base/text.h"
#include "agora/base/utf8.h"
#include "agora/model/sentencepiece_proto.h"
#include "agora/model/sentencepiece_tokenizer.h"
#include "agora/model/simple_tokenizers.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/hash.h"
#include "agora/weights/strict_json.h"

namespace agora::model {

using base::concat;
using base::in_quotes;

namespace {

constexpr char kConfigFile[] = "/tokenizer_config.json";
constexpr char kModelFile[] = "/tokenizer.model";

// One entry of the config's list of characters; empty if it is not usable.
std::string character_from(const nlohmann::json& entry) {
  if (entry.is_number_unsigned()) {
    const uint64_t byte = entry.get<uint64_t>();
    return byte >= 0x80 && byte <= 0xff ? std::string(1, static_cast<char>(byte)) : std::string();
  }
  if (!entry.is_string()) return {};
  const std::string text = entry.get<std::string>();
  const bool one = !text.empty() && base::utf8_at(text, 0).bytes == static_cast<int>(text.size());
  return one ? text : std::string();
}

StatusOr<std::unique_ptr<Tokenizer>> read_characters(const nlohmann::json& own, const std::string& file) {
  const auto bad = [&](const std::string& what) {
    return absl::InvalidArgumentError(concat(file, ": ", what));
  };
  const auto list = own.find("characters");
  if (list == own.end() || !list->is_array() || list->empty()) return bad("expected a list \"characters\"");
  std::vector<std::string> characters;
  std::set<std::string> seen;
  for (const nlohmann::json& entry : *list) {
    characters.push_back(character_from(entry));
    if (characters.back().empty())
      return bad(concat("entry ", characters.size() - 1, " is not one character"));
    if (!seen.insert(characters.back()).second)
      return bad(concat(in_quotes(characters.back()), " is there twice"));
  }
  return make_character_tokenizer(std::move(characters));
}

// Gives the bytes of tokenizer.model, wherever they lie.
using ModelSource = absl::FunctionRef<StatusOr<std::string>()>;

auto model_in(const std::string& dir) {
  return [&dir] { return weights::read_file(dir + kModelFile, kTokenizerBytesMax); };
}

// config: the whole of tokenizer_config.json; own: what is ours in it.
StatusOr<std::unique_ptr<Tokenizer>> read_sentencepiece(const nlohmann::json& config,
                                                        const nlohmann::json& own, const std::string& dir,
                                                        ModelSource source) {
  const std::string file = dir + kModelFile;
  AGORA_ASSIGN_OR_RETURN(std::string model, source());
  const auto hash = own.find("sha256");
  if (hash != own.end() && *hash != weights::sha256_hex(base::as_bytes(model))) {
    return absl::DataLossError(
        concat(file, " is not what was written; take it again from where the model came from"));
  }
  const auto bos = config.find("add_bos_token");
  if (bos == config.end() || bos->is_null()) return open_sentencepiece(std::move(model), file);
  if (bos->is_boolean()) return open_sentencepiece(std::move(model), file, bos->get<bool>());
  return absl::InvalidArgumentError(
      concat(dir, kConfigFile, ": key \"add_bos_token\": expected true or false"));
}

StatusOr<std::unique_ptr<Tokenizer>> parse(std::string_view text, const std::string& dir,
                                           ModelSource source) {
  const std::string file = dir + kConfigFile;
  AGORA_ASSIGN_OR_RETURN(const nlohmann::json config, weights::parse_json(text, file));
  const nlohmann::json own =
      config.is_object() ? config.value("agora", nlohmann::json::object()) : nlohmann::json();
  if (!own.is_object())
    return absl::InvalidArgumentError(concat(file, ": expected an object, and one at \"agora\""));
  const auto kind = own.find("kind");
  if (kind == own.end() || *kind == "bpe" || *kind == "unigram")
    return read_sentencepiece(config, own, dir, source);
  if (*kind == "characters") return read_characters(own, file);
  if (*kind == "bytes") return make_byte_tokenizer();
  return absl::InvalidArgumentError(concat(file, ": expected the kind unigram, bpe, characters or bytes"));
}

}  // namespace

std::string_view name_of(TokenizerKind kind) {
  switch (kind) {
    case TokenizerKind::unigram:
      return "unigram";
    case TokenizerKind::bpe:
      return "bpe";
    case TokenizerKind::characters:
      return "characters";
    case TokenizerKind::bytes:
      return "bytes";
  }
  return "?";
}

nlohmann::ordered_json sentencepiece_config(TokenizerKind kind, std::string_view model, bool space_in_front,
                                            bool bos_in_front) {
  return {{"tokenizer_class", "LlamaTokenizer"},
          {"legacy", false},
          {"add_bos_token", bos_in_front},
          {"add_eos_token", false},
          {"add_prefix_space", space_in_front},
          {"clean_up_tokenization_spaces", false},
          {"unk_token", "<unk>"},
          {"bos_token", "<s>"},
          {"eos_token", "</s>"},
          {"agora", {{"kind", name_of(kind)}, {"sha256", weights::sha256_hex(base::as_bytes(model))}}}};
}

Status write_tokenizer(const std::string& dir, const nlohmann::ordered_json& config, std::string_view model) {
  if (!model.empty()) AGORA_RETURN_IF_ERROR(weights::write_file_atomic(dir + kModelFile, model));
  return weights::write_file_atomic(dir + kConfigFile, config.dump(2) + "\n");
}

StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::load(const std::string& dir) {
  const auto source = model_in(dir);
  if (!weights::file_exists(dir + kConfigFile)) {
    return read_sentencepiece(nlohmann::json::object(), nlohmann::json::object(), dir, source);
  }
  AGORA_ASSIGN_OR_RETURN(const std::string text, weights::read_file(dir + kConfigFile, kTokenizerBytesMax));
  return parse(text, dir, source);
}

StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::from_files(const std::map<std::string, std::string>& files,
                                                           const std::string& where) {
  const auto source = [&]() -> StatusOr<std::string> {
    const auto model = files.find(kModelFile + 1);
    if (model != files.end()) return model->second;
    return absl::NotFoundError(concat(where, ": expected a file tokenizer.model, found none"));
  };
  const auto config = files.find(kConfigFile + 1);
  if (config != files.end()) return parse(config->second, where, source);
  return read_sentencepiece(nlohmann::json::object(), nlohmann::json::object(), where, source);
}

}  // namespace agora::model
