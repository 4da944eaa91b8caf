#include "agora/model/tokenizer.h"

#include <stdlib.h>

#include "agora/base/rng.h"
#include "agora/base/test_folder.h"
#include "agora/model/sentencepiece_bridge.h"
#include "agora/model/sentencepiece_proto.h"
#include "agora/model/sentencepiece_tokenizer.h"
#include "agora/model/simple_tokenizers.h"
#include "agora/model/tokenizer_files.h"
#include "agora/weights/atomic_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agora::model {
namespace {

using base::TestFolder;
using base::write_text;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string message(const Status& status) { return std::string(status.message()); }

std::string to_utf8(uint32_t code) {
  const auto tail = [code](int shift) { return static_cast<char>(0x80u | ((code >> shift) & 0x3fu)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xc0u | code >> 6), tail(0)};
  if (code < 0x10000) return {static_cast<char>(0xe0u | code >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0u | code >> 18), tail(12), tail(6), tail(0)};
}

std::string sample_text() {
  std::string text;
  for (int i = 0; i < 300; ++i) {
    text += "int count_" + std::to_string(i * 7919 % 1000) +
            " = read(file);\n    if (count > 0) {\n        return count;\n    }\n\n";
    text += "def read(self, name):\n\treturn self.names[name]  # the name as it was\n";
    text += "Wörter mit Umlauten, naïve café, 日本語\n";
  }
  return text;
}

std::unique_ptr<Tokenizer> trained(TokenizerKind kind, std::string_view sample = sample_text()) {
  auto tokenizer = Tokenizer::train(sample, {.kind = kind, .vocabulary = 500});
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

std::string there_and_back(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text);
  EXPECT_TRUE(ids.ok()) << ids.status();
  for (const int32_t id : *ids) EXPECT_TRUE(id >= 0 && id < tokenizer.vocab_size());
  return tokenizer.decode(*ids);
}

class Exact : public ::testing::TestWithParam<TokenizerKind> {};

TEST_P(Exact, OddTextsComeBackByteForByte) {
  const auto tokenizer = trained(GetParam());
  const std::string_view texts[] = {"",
                                    " ",
                                    "\n",
                                    "  two  spaces  ",
                                    "\n\n\n  \n \t\t x\r\n",
                                    "<s> </s> <unk> <0x41> <pad>",
                                    "\xe2\x96\x81 the mark \xe2\x96\x81\xe2\x96\x81x",
                                    "\xe2\x96\x85 \xe2\x81\x87 \xef\xbf\xbd",
                                    "\xff\xfe\x80 broken \xe2\x96",
                                    "\xed\xa0\x80 surrogate, overlong \xc0\xaf",
                                    "emoji \xf0\x9f\x98\x80, 漢字, العربية",
                                    std::string_view("nul \0 inside\0", 13)};
  for (const std::string_view text : texts) EXPECT_EQ(there_and_back(*tokenizer, text), text);
  const std::string spaces(5000, ' ');
  EXPECT_EQ(there_and_back(*tokenizer, spaces), spaces);
  const std::string one_word(20'000, 'x');
  EXPECT_EQ(there_and_back(*tokenizer, one_word), one_word);
}

TEST_P(Exact, RandomBytesComeBack) {
  const auto tokenizer = trained(GetParam());
  Rng rng(7);
  // Bytes that make trouble are drawn more often than others.
  const std::string trouble = std::string(" \n\t\xe2\x96\x81\xff", 7) + std::string(1, '\0');
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (uint32_t i = rng.below(200); i > 0; --i) {
      text += rng.below(2) == 0 ? trouble[rng.below(static_cast<uint32_t>(trouble.size()))]
                                : static_cast<char>(rng.below(256));
    }
    ASSERT_EQ(there_and_back(*tokenizer, text), text);
  }
}

TEST_P(Exact, EveryCharacterOfUnicodeComesBack) {
  const auto tokenizer = trained(GetParam());
  std::string text;
  for (uint32_t code = 0; code < 0x110000; code += code < 0x3000 ? 1 : 61) {
    if (code < 0xd800 || code > 0xdfff) text += to_utf8(code);
  }
  EXPECT_EQ(there_and_back(*tokenizer, text), text);
}

TEST_P(Exact, SavedAndLoadedItIsTheSame) {
  const auto tokenizer = trained(GetParam());
  TestFolder folder;
  ASSERT_TRUE(tokenizer->save(folder.path()).ok());
  const auto loaded = Tokenizer::load(folder.path());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->kind(), tokenizer->kind());
  EXPECT_EQ((*loaded)->vocab_size(), tokenizer->vocab_size());
  EXPECT_EQ((*loaded)->eos_id(), 2);
  EXPECT_EQ(*(*loaded)->encode(sample_text()), *tokenizer->encode(sample_text()));
}

TEST_P(Exact, TinySamplesTrain) {
  for (const std::string_view sample : {"a", "\n", "   ", "ab\ncd", "\xe2\x96\x85x", "<s>"}) {
    EXPECT_EQ(there_and_back(*trained(GetParam(), sample), "ab c\n"), "ab c\n");
  }
  for (const std::string_view sample : {"", "\xff\xff", "\t"}) {
    const auto tokenizer = Tokenizer::train(sample, {.kind = GetParam()});
    EXPECT_THAT(message(tokenizer.status()), HasSubstr("no text to train"));
  }
}

TEST_P(Exact, ManyScriptsDoNotFillTheVocabulary) {
  std::string sample = sample_text();
  for (uint32_t code = 0x4e00; code < 0x5e00; ++code) sample += to_utf8(code);
  const auto tokenizer = trained(GetParam(), sample);
  EXPECT_LE(tokenizer->vocab_size(), 500);
  EXPECT_LE(tokenizer->encode("return count;")->size(), 7u);
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, Exact, ::testing::Values(TokenizerKind::unigram, TokenizerKind::bpe),
                         [](const auto& info) {
                           return std::string(info.param == TokenizerKind::bpe ? "bpe" : "unigram");
                         });

using ModelOptions = std::unordered_map<std::string, std::string>;

// As others train one: Llama's and Mixtral's settings, but for `changes`.
std::string foreign_model(TokenizerKind kind, const ModelOptions& changes) {
  ModelOptions options = {{"model_type", std::string(name_of(kind))},
                          {"vocab_size", "500"},
                          {"hard_vocab_limit", "false"},
                          {"byte_fallback", "true"},
                          {"normalization_rule_name", "identity"},
                          {"remove_extra_whitespaces", "false"},
                          {"add_dummy_prefix", "true"},
                          {"minloglevel", "2"}};
  for (const auto& [name, value] : changes) options[name] = value;
  std::vector<std::string> sentences;
  for (int i = 0; i < 500; ++i)
    sentences.push_back("the return count of the names is " + std::to_string(i * 7919 % 1000));
  std::string model;
  EXPECT_EQ(train_model(options, sentences, &model), "");
  return model;
}

TEST_P(Exact, ModelsOfOthersGiveTheIdsOfSentencePieceItself) {
  const ModelOptions differences[] = {{},
                                      {{"add_dummy_prefix", "false"}},
                                      {{"user_defined_symbols", "<|im start|>,of the,count\nof,\t\t"}},
                                      {{"split_by_whitespace", "false"}}};
  std::string word = "a", japanese;  // longer than a unit once was
  for (int i = 0; i < 300; ++i) word += "thereturncountofthenames", japanese += "日本語";
  const std::string_view texts[] = {"the return count of the names",
                                    word,
                                    japanese,
                                    " the  return\n\n   count\nof the\tnames ",
                                    "\n",
                                    " ",
                                    "\tthe\t\tcount",
                                    "日本 of the 日本語\n",
                                    "<|im start|>the names<|im start|> of the",
                                    ""};
  for (const ModelOptions& difference : differences) {
    const std::string model = foreign_model(GetParam(), difference);
    const auto tokenizer = open_sentencepiece(model, "tokenizer.model");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    SentencePieceModel itself;
    ASSERT_EQ(itself.open(model), "");
    for (const std::string_view text : texts) {
      std::vector<int32_t> ids;
      ASSERT_TRUE(itself.append_ids(text, ids));
      EXPECT_EQ(*(*tokenizer)->encode(text), ids) << text;
      EXPECT_EQ((*tokenizer)->decode(ids), text);
    }
    for (const std::string_view text : {"\xff the", "\xe2\x96\x81 the \xe2\x96\x81"})
      EXPECT_EQ(there_and_back(**tokenizer, text), text);
    const auto all = (*tokenizer)->encode_all(std::span(texts).first(2));
    EXPECT_EQ(all->ends[0], (*tokenizer)->encode(texts[0])->size());
    EXPECT_EQ(all->ids.size() - all->ends[0], (*tokenizer)->encode(texts[1])->size());
  }
}

TEST_P(Exact, ModelsThatChangeSpacesAreRefused) {
  const auto refusal = [](const std::string& model) {
    return message(open_sentencepiece(model, "m").status());
  };
  EXPECT_THAT(refusal(foreign_model(GetParam(), {{"remove_extra_whitespaces", "true"}})),
              HasSubstr("m: it drops spaces"));
  EXPECT_THAT(refusal(foreign_model(GetParam(), {{"treat_whitespace_as_suffix", "true"}})),
              HasSubstr("its spaces end words"));
  const std::string unmarked("\x1a\x02\x28\x00", 4);  // normalizer_spec { escape_whitespaces: false }
  EXPECT_THAT(refusal(foreign_model(GetParam(), {}) + unmarked), HasSubstr("hold spaces unmarked"));
}

TEST(Tokenizer, ASpaceInFrontIsKeptWithTheModel) {
  const auto tokenizer = open_sentencepiece(foreign_model(TokenizerKind::bpe, {}), "tokenizer.model");
  TestFolder folder;
  ASSERT_TRUE((*tokenizer)->save(folder.path()).ok());
  EXPECT_THAT(weights::read_file(folder.path("tokenizer_config.json"), 1 << 20).value(),
              HasSubstr("\"add_prefix_space\": true"));
  const auto loaded = Tokenizer::load(folder.path());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(*(*loaded)->encode("the names"), *(*tokenizer)->encode("the names"));
  EXPECT_EQ((*loaded)->display((*loaded)->encode("the names")->front()), " the");
}

TEST(Tokenizer, APromptBeginsAsTheModelsMakersSay) {
  TestFolder folder;
  const auto loaded = [&](const ModelOptions& changes, std::string_view config) {
    write_text(folder.path("tokenizer.model"), foreign_model(TokenizerKind::bpe, changes));
    write_text(folder.path("tokenizer_config.json"), config);
    return Tokenizer::load(folder.path());
  };
  const auto with = *loaded({}, R"({"add_bos_token": true})");
  const std::vector<int32_t> ids = *with->encode("the names");
  std::vector<int32_t> behind_bos = ids;
  behind_bos.insert(behind_bos.begin(), with->bos_id());
  EXPECT_EQ(*with->encode_prompt("the names"), behind_bos);
  EXPECT_THAT(*with->encode_prompt(""), ElementsAre(with->bos_id()));
  ASSERT_TRUE(with->save(folder.path()).ok());
  EXPECT_EQ(*(*Tokenizer::load(folder.path()))->encode_prompt("the names"), behind_bos);

  for (const char* config : {"{}", R"({"add_bos_token": false})", R"({"add_bos_token": null})"}) {
    const auto without = *loaded({}, config);
    EXPECT_EQ(*without->encode_prompt("the names"), ids) << config;
    EXPECT_THAT(*without->encode_prompt(""), ElementsAre(without->eos_id())) << config;
  }
  EXPECT_THAT(message(loaded({}, R"({"add_bos_token": 1})").status()), HasSubstr("expected true or false"));
  EXPECT_THAT(message(loaded({{"bos_id", "-1"}}, R"({"add_bos_token": true})").status()),
              HasSubstr("tokenizer.model: its texts shall begin"));
}

TEST(Tokenizer, OurOwnPutNothingInFront) {
  for (const TokenizerKind kind :
       {TokenizerKind::unigram, TokenizerKind::bpe, TokenizerKind::characters, TokenizerKind::bytes}) {
    const auto tokenizer = trained(kind);
    EXPECT_EQ(*tokenizer->encode_prompt("the names"), *tokenizer->encode("the names"));
    EXPECT_THAT(*tokenizer->encode_prompt(""), ElementsAre(std::max(tokenizer->eos_id(), 0)));
  }
}

TEST(Tokenizer, TheIdsOfAWordDoNotDependOnTheTextAround) {
  const auto tokenizer = trained(TokenizerKind::bpe);
  std::vector<int32_t> both = *tokenizer->encode("return count;\n");
  const std::vector<int32_t> rest = *tokenizer->encode(" name = count");
  const std::vector<int32_t> whole = *tokenizer->encode("return count;\n name = count");
  both.insert(both.end(), rest.begin(), rest.end());
  EXPECT_EQ(whole, both);
}

TEST(Tokenizer, TrainingIsTheSameEveryTime) {
  EXPECT_EQ(*train_sentencepiece(sample_text(), TokenizerKind::bpe, 500),
            *train_sentencepiece(sample_text(), TokenizerKind::bpe, 500));
}

TEST(Tokenizer, RefusesAVocabularyThatCanNotBe) {
  EXPECT_THAT(message(Tokenizer::train("abc", {.vocabulary = 10}).status()), HasSubstr("got 10"));
}

TEST(CharacterTokenizer, HasTheDistinctCharactersSorted) {
  EXPECT_THAT(characters_of("b\xc3\xa9\xff\n"
                            "ab"),
              ElementsAre("\n", "a", "b", "\xc3\xa9", "\xff"));
  const auto tokenizer = trained(TokenizerKind::characters, "hello\n\xff");
  EXPECT_EQ(tokenizer->vocab_size(), 6);
  EXPECT_THAT(*tokenizer->encode("hello"), ElementsAre(2, 1, 3, 3, 4));
  EXPECT_EQ(there_and_back(*tokenizer, "oh\xff\n"), "oh\xff\n");
  EXPECT_EQ(tokenizer->eos_id(), -1);
  EXPECT_THAT(message(tokenizer->encode("he was").status()), HasSubstr("\" \" at byte 2"));
}

TEST(Tokenizer, FromTheContentsOfItsFilesItIsTheSame) {
  for (const TokenizerKind kind : {TokenizerKind::bpe, TokenizerKind::characters, TokenizerKind::bytes}) {
    const TestFolder folder;
    const auto tokenizer = trained(kind);
    ASSERT_TRUE(tokenizer->save(folder.path()).ok());
    std::map<std::string, std::string> files{{"config.json", "{}"}};
    for (const char* name : {"tokenizer_config.json", "tokenizer.model"}) {
      const auto text = weights::read_file(folder.path() + "/" + name, kTokenizerBytesMax);
      if (text.ok()) files[name] = *text;
    }
    const auto again = Tokenizer::from_files(files, "specification");
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*(*again)->encode("count(naïve)"), *tokenizer->encode("count(naïve)"));
  }
  EXPECT_EQ(Tokenizer::from_files({}, "x").status().code(), absl::StatusCode::kNotFound);
}

TEST(SimpleTokenizers, SavedAndLoadedTheyAreTheSame) {
  for (const TokenizerKind kind : {TokenizerKind::characters, TokenizerKind::bytes}) {
    TestFolder folder;
    const auto tokenizer = trained(kind, "some text \xff \xc3\xa9");
    ASSERT_TRUE(tokenizer->save(folder.path()).ok());
    const auto loaded = Tokenizer::load(folder.path());
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ((*loaded)->vocab_size(), tokenizer->vocab_size());
    EXPECT_EQ(there_and_back(**loaded, "me \xff\xc3\xa9"), "me \xff\xc3\xa9");
  }
}

TEST(Tokenizer, DisplaysWhatHasNoShape) {
  const auto bytes = make_byte_tokenizer();
  EXPECT_EQ(bytes->display('a'), "a");
  EXPECT_EQ(bytes->display('\n'), "\\n");
  EXPECT_EQ(bytes->display(0xe2), "<0xE2>");
  EXPECT_EQ(bytes->display(0x1b), "<0x1B>");
  EXPECT_EQ(bytes->display(1000), "<1000>");
  EXPECT_EQ(trained(TokenizerKind::bpe)->display(2), "</s>");
}

TEST(StreamDecoder, HoldsBackUnfinishedCharacters) {
  const auto bytes = make_byte_tokenizer();
  StreamDecoder stream(*bytes);
  EXPECT_EQ(stream.push('a'), "a");
  EXPECT_EQ(stream.push(0xf0), "");
  EXPECT_EQ(stream.push(0x9f), "");
  EXPECT_EQ(stream.push(0x98), "");
  EXPECT_EQ(stream.push(0x80), "\xf0\x9f\x98\x80");
  EXPECT_EQ(stream.push(0xe2), "");
  EXPECT_EQ(stream.push('b'),
            "\xe2"
            "b");
  EXPECT_EQ(stream.push(0xc3), "");
  EXPECT_EQ(stream.finish(), "\xc3");
  EXPECT_EQ(stream.finish(), "");
}

TEST(TokenizerFiles, ANormaliserIsSeenHoweverItIsTagged) {
  const std::string model = *train_sentencepiece(sample_text(), TokenizerKind::bpe, 500);
  const std::string map("\x12\x01x", 3);  // field 2: precompiled_charsmap
  ASSERT_TRUE(read_outline(model, "m").ok());
  EXPECT_THAT(message(read_outline(model + "\x1a\x03" + map, "m").status()), HasSubstr("normalises"));
  // The same field 3 with a bit more than SentencePiece reads of a tag.
  EXPECT_THAT(message(read_outline(model + "\x9a\x80\x80\x80\x10\x03" + map, "m").status()),
              HasSubstr("damaged"));
}

TEST(TokenizerFiles, AFieldOfAnotherTypeHidesNothing) {
  const std::string score_nan("\x15\x00\x00\xc0\x7f", 5), score_varint("\x10\x01", 2);
  const std::string piece = std::string("\x0a\x01x", 3) + score_nan + score_varint;
  const std::string model = std::string("\x0a", 1) + static_cast<char>(piece.size()) + piece;
  EXPECT_THAT(message(read_outline(model, "m").status()), HasSubstr("not usable"));
}

TEST(TokenizerFiles, WhatIsNotUsableIsRefusedByName) {
  TestFolder folder;
  EXPECT_THAT(message(Tokenizer::load(folder.path()).status()), HasSubstr("tokenizer.model: No such file"));
  ASSERT_TRUE(trained(TokenizerKind::bpe)->save(folder.path()).ok());
  const std::string model = weights::read_file(folder.path("tokenizer.model"), 1 << 20).value();
  std::string altered = model;
  altered[altered.size() / 2] ^= 1;
  write_text(folder.path("tokenizer.model"), altered);
  EXPECT_EQ(Tokenizer::load(folder.path()).status().code(), absl::StatusCode::kDataLoss);

  const auto with_config = [&](std::string_view text) {
    write_text(folder.path("tokenizer_config.json"), text);
    return message(Tokenizer::load(folder.path()).status());
  };
  EXPECT_THAT(with_config("[]"), HasSubstr("expected an object"));
  EXPECT_THAT(with_config(R"({"agora":{"kind":"words"}})"), HasSubstr("expected the kind"));
  EXPECT_THAT(with_config(R"({"agora":{"kind":"characters"}})"), HasSubstr("expected a list"));
  EXPECT_THAT(with_config(R"({"agora":{"kind":"characters","characters":["a","a"]}})"), HasSubstr("twice"));
  EXPECT_THAT(with_config(R"({"agora":{"kind":"characters","characters":["ab"]}})"),
              HasSubstr("not one character"));
  EXPECT_THAT(with_config(R"({"agora":{"kind":"characters","characters":[7]}})"),
              HasSubstr("not one character"));

  write_text(folder.path("tokenizer.model"), model);
  EXPECT_EQ(with_config("{}"), "");  // from elsewhere, without our key
  write_text(folder.path("tokenizer.model"), model.substr(0, model.size() / 2));
  EXPECT_NE(with_config("{}"), "");
  write_text(folder.path("tokenizer.model"), "");
  EXPECT_NE(with_config("{}"), "");
}

}  // namespace
}  // namespace agora::model
