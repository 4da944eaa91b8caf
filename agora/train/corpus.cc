#include "agora/train/corpus.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "agora/base/check.h"
#include "agora/base/utf8.h"

namespace agora::train {
namespace {

constexpr size_t kSampleBlockBytes = 4096;
constexpr size_t kGroupBytes = size_t{1} << 22;  // tokenized by one thread at a time

int64_t bytes_of(const std::vector<Document>& documents) {
  int64_t bytes = 0;
  for (const Document& document : documents) bytes += static_cast<int64_t>(document.text.size());
  return bytes;
}

enum class Follows : uint8_t { nothing, more };

// Where to divide a text near `at`: after the next line end, else after the one before, else right there.
// Where nothing follows the text its end is no place, nor is a line end that leaves less than half of what
// was wanted.
size_t after_line_end(std::string_view text, size_t at, Follows follows) {
  if (at == 0) return 0;
  const size_t next = text.find('\n', at - 1);
  if (next != text.npos && (follows == Follows::more || next + 1 < text.size())) return next + 1;
  const size_t before = text.rfind('\n', at - 1);
  return before == text.npos || before + 1 < at / 2 ? at : before + 1;
}

// `at`, or where the character begins in whose middle it is.
size_t character_start(std::string_view text, size_t at) {
  for (size_t back = 1; back <= std::min<size_t>(at, 3); ++back) {
    if (base::utf8_at(text, at - back).bytes > static_cast<int>(back)) return at - back;
  }
  return at;
}

void split_domain(Domain& domain, const Split& split) {
  const auto total = static_cast<double>(bytes_of(domain.train));
  auto left = static_cast<size_t>(total * (1.0 - split.validation));  // bytes that stay in train
  size_t keep = 0;
  while (keep < domain.train.size() && domain.train[keep].text.size() <= left)
    left -= domain.train[keep++].text.size();
  if (keep == domain.train.size()) return;

  Document& crossing = domain.train[keep];
  const Follows follows = keep + 1 < domain.train.size() ? Follows::more : Follows::nothing;
  const size_t cut = character_start(
      crossing.text, split.at == SplitAt::byte ? left : after_line_end(crossing.text, left, follows));
  if (cut > 0) {
    Document rest{crossing.name, crossing.text.substr(cut)};
    crossing.text.resize(cut);
    ++keep;
    if (!rest.text.empty()) domain.validation.push_back(std::move(rest));
  }
  const auto from = domain.train.begin() + static_cast<int64_t>(keep);
  domain.validation.insert(domain.validation.end(), std::make_move_iterator(from),
                           std::make_move_iterator(domain.train.end()));
  domain.train.erase(from, domain.train.end());
}

// Texts that one thread tokenizes in one call.
struct Group {
  std::vector<int32_t>* out = nullptr;
  std::vector<std::string_view> texts;
  std::vector<bool> ends_document;  // by text
  size_t bytes = 0;
};

// Long documents are divided at line ends where no token crosses them, so the tokens are those of the whole.
void add_groups(const std::vector<Document>& documents, bool lines_are_apart, std::vector<int32_t>* out,
                std::vector<Group>& groups) {
  const auto start = [&] { groups.emplace_back().out = out; };
  const auto add = [&](std::string_view text, bool ends_document) {
    if (groups.back().bytes >= kGroupBytes) start();
    groups.back().texts.push_back(text);
    groups.back().ends_document.push_back(ends_document);
    groups.back().bytes += text.size();
  };
  start();
  for (const Document& document : documents) {
    std::string_view rest = document.text;
    while (lines_are_apart && rest.size() > kGroupBytes) {
      size_t cut = rest.find('\n', kGroupBytes);
      while (cut != rest.npos && rest[cut - 1] == '\n') cut = rest.find('\n', cut + 1);
      if (cut == rest.npos) break;
      add(rest.substr(0, cut), false);
      rest.remove_prefix(cut);
    }
    add(rest, true);
  }
}

void append_tokens(const Group& group, const model::EncodedTexts& encoded, int32_t eos) {
  auto begin = encoded.ids.begin();
  for (size_t i = 0; i < group.texts.size(); ++i) {
    const auto end = encoded.ids.begin() + static_cast<int64_t>(encoded.ends[i]);
    group.out->insert(group.out->end(), begin, end);
    if (group.ends_document[i] && eos >= 0) group.out->push_back(eos);
    begin = end;
  }
}

}  // namespace

int64_t Domain::bytes_train() const { return bytes_of(train); }
int64_t Domain::bytes_validation() const { return bytes_of(validation); }

int64_t TokenCorpus::tokens_train() const {
  int64_t tokens = 0;
  for (const DomainTokens& domain : domains) tokens += static_cast<int64_t>(domain.train.size());
  return tokens;
}

void split_validation(Corpus& corpus, const Split& split) {
  AGORA_CHECK(split.validation >= 0 && split.validation < 1);
  for (Domain& domain : corpus.domains) split_domain(domain, split);
}

std::string tokenizer_sample(const Corpus& corpus, int64_t bytes_max) {
  std::string sample;
  if (corpus.domains.empty()) return sample;
  const double share = static_cast<double>(bytes_max) / static_cast<double>(corpus.domains.size());
  for (const Domain& domain : corpus.domains) {
    const double ratio =
        std::min(1.0, share / static_cast<double>(std::max<int64_t>(domain.bytes_train(), 1)));
    int64_t block = 0;  // of the domain; block i is taken where floor(i * ratio) steps
    for (const Document& document : domain.train) {
      for (size_t at = 0; at < document.text.size(); at += kSampleBlockBytes, ++block) {
        const auto before = static_cast<int64_t>(static_cast<double>(block) * ratio);
        const auto after = static_cast<int64_t>(static_cast<double>(block + 1) * ratio);
        if (after > before) sample += std::string_view(document.text).substr(at, kSampleBlockBytes);
      }
    }
  }
  return sample;
}

StatusOr<TokenCorpus> tokenize(const Corpus& corpus, const model::Tokenizer& tokenizer,
                               base::ThreadPool& pool) {
  TokenCorpus tokens;
  tokens.domains.resize(corpus.domains.size());
  const bool lines_are_apart = tokenizer.lines_are_apart();
  std::vector<Group> groups;
  for (size_t d = 0; d < corpus.domains.size(); ++d) {
    const Domain& domain = corpus.domains[d];
    DomainTokens& out = tokens.domains[d];
    out.name = domain.name;
    out.bytes_train = domain.bytes_train();
    out.bytes_validation = domain.bytes_validation();
    add_groups(domain.train, lines_are_apart, &out.train, groups);
    add_groups(domain.validation, lines_are_apart, &out.validation, groups);
  }
  std::vector<StatusOr<model::EncodedTexts>> encoded(groups.size());
  pool.run(static_cast<int64_t>(groups.size()), [&](int64_t i) {
    encoded[static_cast<size_t>(i)] = tokenizer.encode_all(groups[static_cast<size_t>(i)].texts);
  });
  for (size_t g = 0; g < groups.size(); ++g) {
    if (!encoded[g].ok()) return encoded[g].status();
    append_tokens(groups[g], *encoded[g], tokenizer.eos_id());
    encoded[g] = model::EncodedTexts();
  }
  for (DomainTokens& domain : tokens.domains) {  // they stay for the whole run
    domain.train.shrink_to_fit();
    domain.validation.shrink_to_fit();
  }
  return tokens;
}

}  // namespace agora::train
