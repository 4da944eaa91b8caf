// Every kind of bad input: one clear sentence, exit code 2, and nothing that was saved is lost.
#include <csignal>
#include <cstring>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/e2e/small_run.h"

namespace agora::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class BadInput : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return scratch_.path(name); }

  void expect_refused(const std::vector<std::string>& arguments, const std::string& says,
                      int64_t file_bytes_max = 0) {
    const Outcome outcome = run_agora(arguments, file_bytes_max);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("agora: "), HasSubstr(says)));
  }

  // "$@" is the program.
  static std::vector<std::string> through(const std::string& shell_line) {
    return {"/bin/sh", "-c", shell_line, "sh"};
  }

  // A trained model in path("run").
  void train() {
    write_two_domains(scratch_ / "data");
    const Outcome outcome = run_agora(small_train(path("data"), path("run")));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }

  void change(const std::string& file, size_t at, const std::string& bytes) {
    std::string content = read_file(path(file));
    ASSERT_LE(at + bytes.size(), content.size());
    content.replace(at, bytes.size(), bytes);
    base::write_text(path(file), content);
  }

  void replace(const std::string& file, const std::string& from, const std::string& to) {
    std::string content = read_file(path(file));
    const size_t at = content.find(from);
    ASSERT_NE(at, std::string::npos);
    content.replace(at, from.size(), to);
    base::write_text(path(file), content);
  }

  base::TestFolder scratch_;
};

TEST_F(BadInput, DataThatIsNotThereOrNotText) {
  expect_refused(small_train(path("nowhere"), path("run")), "nowhere");
  std::filesystem::create_directories(scratch_ / "empty");
  expect_refused(small_train(path("empty"), path("run")), "empty");
  base::write_text(scratch_ / "binary" / "a.bin", std::string(100'000, '\0'));
  expect_refused(small_train(path("binary"), path("run")), "binary");
  base::write_text(scratch_ / "nothing" / "a.txt", "");
  expect_refused(small_train(path("nothing"), path("run")), "nothing");
  base::write_text(scratch_ / "short" / "a.txt", "too short");
  expect_refused(small_train(path("short"), path("run")), "");
}

TEST_F(BadInput, OddTextIsTextAllTheSame) {
  base::write_text(scratch_ / "odd" / "line.txt", std::string(300'000, 'x') + "\xff\xfe no utf-8 \xc3");
  EXPECT_EQ(run_agora(small_train(path("odd"), path("run"))).exit_code, 0);
}

TEST_F(BadInput, FlagsAndRecipes) {
  EXPECT_EQ(run_agora({"train", "--no-such-flag"}).exit_code, 2);
  EXPECT_EQ(run_agora({"no-such-command"}).exit_code, 2);
  for (const char* bench : {"engine", "swarm"}) {
    expect_refused({"bench", bench, "--only", "no_such_line"}, "found \"no_such_line\"");
  }
  EXPECT_EQ(run_agora({}).exit_code, 2);
  EXPECT_EQ(run_agora({"--help"}).exit_code, 0);
  expect_refused({"train", path("no-recipe")}, "expected a recipe");
  base::write_text(scratch_ / "recipe.toml", "no-such-flag = 3\n");
  EXPECT_EQ(run_agora({"train", path("recipe.toml")}).exit_code, 2);
  write_two_domains(scratch_ / "data");
  const auto with = [&](const std::string& flag, const std::string& value) {
    return small_train(path("data"), path("run"), {flag, value});
  };
  expect_refused(with("--kv-heads", "3"), "num_key_value_heads");
  expect_refused(with("--chosen", "9"), "9");
  expect_refused(with("--precision", "f64"), "bf16 or f32");
  expect_refused(with("--selection", "best"), "top_k");
  expect_refused(with("--learning-rate", "-1"), "learning-rate");
  expect_refused(with("--tokenizer", "words"), "bpe");
  expect_refused(with("--threads", "1000000"), "threads");
  expect_refused(with("--twins", "none,bogus"), "found bogus");
  EXPECT_FALSE(std::filesystem::exists(path("run")));
  expect_refused({"spec", "make", "--batch", "0", "--file", path("spec")}, "batch");
  EXPECT_THAT(run_agora({"spec", "make", "--out=" + path("spec")}).err, HasSubstr("not expected: --out"));
}

TEST_F(BadInput, NamesThatAreNotUtf8) {
  write_two_domains(scratch_ / "caf\xe9");
  expect_refused(small_train(path("caf\xe9"), path("run")), "--data: expected UTF-8");
  write_two_domains(scratch_ / "data" / "caf\xe9");  // of a domain: shown, not saved
  EXPECT_EQ(run_agora(small_train(path("data"), path("run"))).exit_code, 0);
  expect_refused({"train", "--json", "--resume", path("run"), "--data", path("caf\xe9")}, "--data");
}

// Before the data is read, and without a folder that the next try would find taken.
TEST_F(BadInput, ASwarmThatCanNotStart) {
  write_two_domains(scratch_ / "data");
  const auto with = [&](const std::string& flag, const std::string& value) {
    std::vector<std::string> arguments = small_train(path("data"), path("run"), {flag, value});
    arguments[0] = "up";
    return arguments;
  };
  expect_refused(with("--listen", "127.0.0.1"), "--listen: expected HOST:PORT");
  expect_refused(with("--http", "everywhere"), "--http: expected HOST:PORT");
  expect_refused(with("--swarm-key", path("no-key")), "no-key");
  expect_refused(with("--swarm-key", path("caf\xe9")), "--swarm-key: expected UTF-8");
  expect_refused(with("--resume", path("nowhere")), "--resume");
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

TEST_F(BadInput, AFolderWithOtherThingsIsNotReplaced) {
  write_two_domains(scratch_ / "data");
  base::write_text(scratch_ / "results" / "notes.txt", "a year's work");
  expect_refused(small_train(path("data"), path("results")), "--out");
  EXPECT_EQ(read_file(path("results") + "/notes.txt"), "a year's work");
  std::filesystem::create_directories(scratch_ / "empty");
  EXPECT_EQ(run_agora(small_train(path("data"), path("empty"))).exit_code, 0);
  expect_refused(small_train(path("data"), path("empty")), "--resume");
}

TEST_F(BadInput, ModelsThatAreTornAlteredOrWrong) {
  train();
  expect_refused({"ask", path("nowhere"), "x"}, "expected a model folder");
  const std::string file = path("run") + "/model.safetensors";
  const std::string good = read_file(file);
  base::write_text(file, good.substr(0, good.size() - 5));
  expect_refused({"ask", path("run"), "x"}, "model.safetensors");
  std::string altered = good;
  altered[altered.size() - 3] = static_cast<char>(altered[altered.size() - 3] ^ 1);
  base::write_text(file, altered);
  expect_refused({"ask", path("run"), "x"}, "SHA-256");
  base::write_text(file, std::string(8, '\xff') + "{}");
  expect_refused({"inspect", file}, "model.safetensors");
  base::write_text(file, good);
  EXPECT_EQ(run_agora({"ask", path("run"), "x", "--tokens", "2"}).exit_code, 0);

  replace("run/config.json", "\"hidden_size\": 32", "\"hidden_size\": 64");
  expect_refused({"ask", path("run"), "x"}, "expected");
  replace("run/config.json", "\"hidden_size\": 64", "\"hidden_size\": \"big\"");
  expect_refused({"ask", path("run"), "x"}, "hidden_size");
  base::write_text(scratch_ / "run" / "config.json", "{");
  expect_refused({"ask", path("run"), "x"}, "config.json");
}

TEST_F(BadInput, AFullDiskLosesNothingThatWasSaved) {
  train();
  const std::string before = read_file(path("run") + "/model.safetensors");
  // The run is extended; the file limit stands for the full disk.
  const Outcome outcome =
      run_agora({"train", "--json", "--resume", path("run"), "--steps", "50"}, /*file_bytes_max=*/20'000);
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("--resume"));
  EXPECT_EQ(read_file(path("run") + "/model.safetensors"), before);
  EXPECT_EQ(run_agora({"train", "--json", "--resume", path("run"), "--steps", "50"}).exit_code, 0);
}

TEST_F(BadInput, AnOutputThatCanNotBeWritten) {
  base::write_text(path("empty.safetensors"), std::string("\2\0\0\0\0\0\0\0{}", 10));
  for (const std::vector<std::string>& arguments :
       {{"inspect", path("empty.safetensors")}, std::vector<std::string>{"--help"}}) {
    const Outcome full = Process::start(arguments, scratch_, 0, through("exec \"$@\" > /dev/full")).finish();
    EXPECT_EQ(full.exit_code, 2);
    EXPECT_THAT(full.err, HasSubstr("standard output could not be written"));
  }
  const Outcome left =
      Process::start({"--help"}, scratch_, 0, through("{ \"$@\"; echo \"exit $?\" >&2; } | :")).finish();
  EXPECT_EQ(left.err, "exit 0\n");
  for (const char* nobody : {"exec \"$@\" >&-", "exec \"$@\" <&- >&-"}) {
    const Outcome closed =
        Process::start({"inspect", path("empty.safetensors")}, scratch_, 0, through(nobody)).finish();
    EXPECT_EQ(closed.exit_code, 0) << closed.err;
    EXPECT_EQ(closed.err, "");
  }
}

// What is written is more than a pipe holds, so the program is in the middle of it when it is interrupted.
TEST_F(BadInput, CtrlCEndsWhatHasNothingToSave) {
  std::string header;
  for (int i = 0; i < 2000; ++i) {
    header += (i == 0 ? "{" : ",") + ("\"tensor." + std::to_string(i)) +
              "\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}";
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string length(8, '\0');
  const uint64_t bytes = header.size();
  std::memcpy(length.data(), &bytes, sizeof(bytes));
  base::write_text(path("many.safetensors"), length + header);
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  Process inspect = Process::start({"inspect", "--json", path("many.safetensors")}, scratch_, 0,
                                   through("exec \"$@\" > '" + path("pipe") + "'"));
  std::ifstream pipe(path("pipe"));
  pipe.get();
  inspect.interrupt();
  while (pipe.get() != EOF) {
  }
  EXPECT_EQ(inspect.finish().exit_code, 128 + SIGINT);
}

TEST_F(BadInput, AskingForTheImpossible) {
  train();
  expect_refused({"ask", path("run"), "x", "--temperature", "-1"}, "temperature");
  expect_refused({"ask", path("run"), "x", "--top-p", "0"}, "--top-p: expected above 0");
  EXPECT_EQ(run_agora({"ask", path("run"), "x", "--tokens", "0"}).exit_code, 2);
  expect_refused({"train", "--resume", path("nowhere")}, "expected the folder of a training run");
  expect_refused({"explain", path("run"), "x", "--html", path("no-folder") + "/page.html", "--rows", "100"},
                 "page.html");
}

TEST_F(BadInput, AStopTextIsOneTextAndNotWhatFollowsIt) {
  train();
  const Outcome outcome =
      run_agora({"ask", "--stop", "X", "--stop", "Y", path("run"), "x", "--tokens", "2", "--json"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST_F(BadInput, AskingWithoutSayingWhomOrWhat) {
  for (const std::string command : {"ask", "explain"}) {
    expect_refused({command}, "expected agora " + command + " MODEL");
    expect_refused({command, "--swarm"}, "expected agora " + command + " --swarm \"text\"");
    expect_refused({command, "--swarm", "a model", "x"}, "with --swarm no model is named");
  }
}

TEST_F(BadInput, ExplainingASwarmWithFlagsOfAModel) {
  for (const std::vector<std::string>& more :
       {{"--html", path("page.html")}, {"--data", path("data")}, std::vector<std::string>{"--domains"}}) {
    std::vector<std::string> arguments = {"explain", "--swarm", "x"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_agora(arguments);
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.err, HasSubstr(more[0] + " excludes --swarm"));
  }
}

}  // namespace
}  // namespace agora::e2e
