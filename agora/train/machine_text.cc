#include <algorithm>
#include <filesystem>
#include <iterator>
#include <span>
#include <string_view>

#include "agora/base/text.h"
#include "agora/train/domain_reader.h"
#include "agora/train/text_files.h"

namespace agora::train {
namespace {

namespace fs = std::filesystem;
using base::concat;

// A kind of text: where it lies and how its files are named. A * as a whole path element stands for every
// name there. /etc and home folders hold secrets, so they are no source of text.
struct Kind {
  std::string_view name;
  std::vector<std::string_view> folders;
  bool (*wanted)(std::string_view path);
};

bool ends_with_any(std::string_view path, std::span<const std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [path](std::string_view end) { return path.ends_with(end); });
}

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// The standard library's headers have no ending.
bool is_header(std::string_view path) {
  constexpr std::string_view kEndings[] = {".h", ".hpp", ".hh", ".tcc", ".ipp"};
  return ends_with_any(path, kEndings) ||
         (path.find("/c++/") != path.npos && file_name(path).find('.') == path.npos);
}
bool is_python(std::string_view path) { return path.ends_with(".py"); }
bool is_perl(std::string_view path) {
  constexpr std::string_view kEndings[] = {".pm", ".pl", ".pod", ".al"};
  return ends_with_any(path, kEndings);
}
bool is_cmake(std::string_view path) { return path.ends_with(".cmake"); }
bool is_shell(std::string_view path) {
  constexpr std::string_view kEndings[] = {".sh", ".postinst", ".preinst", ".prerm", ".postrm", ".config"};
  return ends_with_any(path, kEndings) || path.find("/bash-completion/") != path.npos;
}
bool is_changelog(std::string_view path) { return file_name(path).starts_with("changelog"); }
bool is_documentation(std::string_view path) {
  constexpr std::string_view kNames[] = {"copyright", "NEWS", "README", "AUTHORS", "FAQ", "THANKS"};
  constexpr std::string_view kEndings[] = {".txt", ".md", ".rst", ".txt.gz", ".md.gz", ".rst.gz", ".info.gz"};
  const std::string_view name = file_name(path);
  const auto opens = [name](std::string_view start) { return name.starts_with(start); };
  return std::any_of(std::begin(kNames), std::end(kNames), opens) || ends_with_any(path, kEndings) ||
         path.find("/common-licenses/") != path.npos;
}
bool is_any(std::string_view) { return true; }

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> kKinds = {
      {"c headers", {"usr/include", "usr/lib/gcc"}, is_header},
      {"python",
       {"usr/lib/python3", "usr/lib/python3.*", "usr/share/python3", "usr/share/gcc", "usr/share/gdb"},
       is_python},
      {"perl", {"usr/share/perl", "usr/share/perl5", "usr/lib/*/perl", "usr/lib/*/perl-base"}, is_perl},
      {"shell", {"var/lib/dpkg/info", "usr/share/bash-completion"}, is_shell},
      {"manual pages", {"usr/share/man/man*"}, is_any},
      {"documentation", {"usr/share/doc", "usr/share/common-licenses", "usr/share/info"}, is_documentation},
      {"changelogs", {"usr/share/doc"}, is_changelog},
      {"cmake", {"usr/share/cmake*", "usr/lib/cmake", "usr/lib/*/cmake"}, is_cmake},
  };
  return kKinds;
}

// The folders that a pattern names: a * stands for any rest of one path element.
std::vector<fs::path> matching_folders(const fs::path& root, std::string_view pattern) {
  std::vector<fs::path> found = {root};
  for (const fs::path& element : fs::path(pattern)) {
    const std::string name = element.string();
    const size_t star = name.find('*');
    std::vector<fs::path> next;
    for (const fs::path& folder : found) {
      std::error_code error;
      if (star == name.npos) {
        if (fs::is_directory(folder / name, error)) next.push_back(folder / name);
        continue;
      }
      for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        const bool matches = it->path().filename().string().starts_with(name.substr(0, star));
        std::error_code ignored;
        if (matches && it->is_directory(ignored)) next.push_back(it->path());
      }
    }
    std::sort(next.begin(), next.end());
    found = std::move(next);
  }
  return found;
}

}  // namespace

StatusOr<Corpus> read_machine_text(const TextLimits& limits, const std::string& root) {
  DomainReader reader(limits);
  for (const Kind& kind : kinds()) {
    for (const std::string_view pattern : kind.folders) {
      for (const fs::path& folder : matching_folders(root, pattern)) {
        reader.add_folder(folder.string(), [&](const std::string& path) { return kind.wanted(path); });
      }
    }
    reader.read(std::string(kind.name));
  }
  Corpus corpus = reader.take();
  if (!corpus.domains.empty()) return corpus;
  return absl::InvalidArgumentError(
      concat("this machine holds no text to train on under ", root, "usr; give a folder with --data"));
}

}  // namespace agora::train
