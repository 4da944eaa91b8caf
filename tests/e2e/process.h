// Runs the real binary as a user would and looks at what comes out.
//
//   Outcome o = run_agora({"inspect", "nothing"});     o.exit_code == 2, o.err
//   Process p = Process::start({...});  p.wait_for_output("step");  p.interrupt();  Outcome o = p.finish();
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

#include "agora/base/test_folder.h"

namespace agora::e2e {

struct Outcome {
  int exit_code = -1;  // 128 + number for a signal
  std::string out;
  std::string err;
};

class Process {
 public:
  // Standard output and error go to files in `scratch`. file_bytes_max: what it may write to one file; 0: no
  // limit. through: a program that runs it, with its arguments; signals go to what it becomes.
  static Process start(const std::vector<std::string>& arguments, const base::TestFolder& scratch,
                       int64_t file_bytes_max = 0, const std::vector<std::string>& through = {});

  // Until its standard output holds the text, or it has ended. False: it ended without.
  bool wait_for_output(const std::string& text);
  void interrupt();
  void kill();       // -9
  void make_room();  // lifts file_bytes_max
  Outcome finish();
  // So far.
  std::string output() const;
  std::string errors() const;
  bool has_ended();

 private:
  pid_t child_ = 0;
  std::string out_;
  std::string err_;
  bool ended_ = false;
  int state_ = 0;
};

Outcome run_agora(const std::vector<std::string>& arguments, int64_t file_bytes_max = 0);

std::string read_file(const std::filesystem::path& path);

}  // namespace agora::e2e
