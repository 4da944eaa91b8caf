#include "apps/dashboard/page.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::dashboard {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string whole_page() {
  std::string all;
  for (const PageFile& file : page_files()) all += file.content;
  return all;
}

TEST(Page, NamesOnlyFilesOfItsOwn) {
  std::string html(page_files()[0].content);
  for (size_t i = 1; i < page_files().size(); ++i) {
    EXPECT_THAT(html, HasSubstr('"' + std::string(page_files()[i].path.substr(1)) + '"'));
  }
}

TEST(Page, NeedsNothingFromElsewhere) {
  std::string page = whole_page();
  const std::string name_of_svg = "http://www.w3.org/2000/svg";  // a name, which nobody calls
  page.erase(page.find(name_of_svg), name_of_svg.size());
  for (const char* elsewhere : {"http:", "https:", "url(", "@import", "import(", "src=\"/"}) {
    EXPECT_THAT(page, Not(HasSubstr(elsewhere)));
  }
}

// What others say becomes text nodes: there is no way from a text to markup or code.
TEST(Page, TurnsNoTextIntoMarkup) {
  for (const char* way : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                          "new Function", "DOMParser", "onclick=", "style=\"", "javascript:"}) {
    EXPECT_THAT(whole_page(), Not(HasSubstr(way)));
  }
}

}  // namespace
}  // namespace agora::dashboard
