// The page that shows a swarm live in a browser: its files, as they lie beside this one.
//
//   for (const PageFile& file : page_files()) serve(file.path, file.type, file.content);
//
// They draw what /feed says (feed.h), come from one peer and need nothing from any other: no network, no
// fonts, no libraries. kPagePolicy holds a browser to it: no script but these, no call but to this peer.
// Texts of other peers become text nodes, never markup. Constants; any thread.
#pragma once

#include <array>
#include <string_view>

namespace agora::dashboard {

struct PageFile {
  std::string_view path;  // "/page.js"
  const char* type;       // MIME
  std::string_view content;
};

std::array<PageFile, 4> page_files();

constexpr char kPagePolicy[] =  // the header Content-Security-Policy
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace agora::dashboard
