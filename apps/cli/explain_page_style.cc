#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "apps/cli/explain_page_html.h"

namespace agora::cli {
namespace {

// The empty icon keeps browsers from asking a server for one; the policy keeps everything else from any
// network.
constexpr char kHead[] =
    "<meta charset=\"utf-8\"/>\n"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src "
    "'unsafe-inline';img-src data:\"/>\n"
    "<link rel=\"icon\" href=\"data:,\"/>\n";

constexpr char kStyle[] = R"css(
:root{color-scheme:light dark;--paper:#fbfaf7;--card:#fff;--ink:#1d2127;--soft:#636b76;--line:#e3e1da;
--hi:#1f5fa8;--lo:#c2571a;--on:#fff;--null:#b9b4a6;--expert-light:44%;
--shadow:0 1px 2px rgb(0 0 0/.06),0 4px 16px rgb(0 0 0/.05)}
@media(prefers-color-scheme:dark){:root{--paper:#14171b;--card:#1c2026;--ink:#e6e4de;--soft:#98a0ab;
--line:#31363e;--hi:#6db0f7;--lo:#f09a5f;--on:#10141a;--null:#5b6069;--expert-light:58%;--shadow:none}}
:root{--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:36px 24px 120px}
header .kicker{color:var(--soft);letter-spacing:.02em}
h1{font-size:30px;line-height:1.2;margin:2px 0 18px;overflow-wrap:anywhere}
h2{font-size:20px;margin:0 0 4px}
h3{font-size:15px;margin:0 0 6px}
p{margin:0 0 12px;max-width:76ch}
.soft,figcaption{color:var(--soft)}
code,.mono{font-family:var(--mono);font-size:.9em}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:22px 24px;
margin:22px 0;box-shadow:var(--shadow)}
dl.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:14px 24px;margin:0}
dl.facts dt{color:var(--soft);font-size:12.5px}
dl.facts dd{margin:0;font-size:17px;font-weight:600;overflow-wrap:anywhere}
nav{margin-top:18px;display:flex;flex-wrap:wrap;gap:6px 18px}
nav a{color:var(--hi);text-decoration:none}
nav a:hover{text-decoration:underline}
.grid{display:flex;flex-wrap:wrap;gap:22px 20px;margin-top:12px}
figure{margin:0;max-width:100%;overflow-x:auto}
figcaption{font-size:13px}
figcaption b{color:var(--ink);font-size:14px}
svg{display:block}
svg text{font:11px var(--mono);fill:var(--ink)}
svg .lb{fill:var(--soft)}
svg .n{text-anchor:middle;font-size:10px}
svg .n.on{fill:var(--on)}
.heat rect{stroke:var(--line);stroke-width:.5}
rect.hi,.key .hi{fill:var(--hi)}
rect.lo,.key .lo{fill:var(--lo)}
.heat g:hover rect{stroke:var(--ink);stroke-width:1.5}
.ax{stroke:var(--line);fill:none}
.bar .ax{stroke:var(--soft)}
.mk{stroke:var(--ink);stroke-dasharray:2 2;fill:none}
rect.null{fill:var(--null);fill-opacity:.55}
.stem{stroke:var(--hi);stroke-width:2;fill:none}
.dot{fill:var(--hi)}
.key{display:inline-flex;align-items:center;gap:6px;font-size:13px;color:var(--soft);margin-right:18px}
.key i{display:inline-block;width:84px;height:11px;border-radius:2px;border:1px solid var(--line)}
.key .share{background:linear-gradient(90deg,transparent,var(--hi))}
.key .lift{background:linear-gradient(90deg,var(--lo),transparent,var(--hi))}
.key .band{background:var(--null);opacity:.55}
.key .point{width:11px;border-radius:50%;background:var(--hi)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13.5px;margin:8px 0}
th{font-weight:600;text-align:left;color:var(--soft);font-size:12.5px;vertical-align:bottom}
th,td{padding:4px 16px 4px 0;border-bottom:1px solid var(--line)}
td.num,th.num{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td{vertical-align:middle}
td.name{white-space:nowrap}
details{margin-top:12px}
summary{cursor:pointer;color:var(--hi)}
details.layer>summary{color:var(--ink);font-weight:600;font-size:15px}
.e{display:inline-block;min-width:26px;padding:0 5px;border-radius:4px;text-align:center;font-size:12px;
line-height:19px;font-variant-numeric:tabular-nums;background:hsl(var(--h) 70% var(--expert-light)/.32)}
.chip{display:inline-block;margin:1px 6px 1px 0;padding:0 5px;border-radius:4px;background:var(--paper);
border:1px solid var(--line);white-space:pre}
.chip small{color:var(--soft);margin-left:5px}
.tabs{margin-top:10px}
.tabs>input{position:absolute;opacity:0}
.tabs>label{display:inline-block;padding:3px 12px;margin:0 4px 6px 0;border:1px solid var(--line);
border-radius:999px;cursor:pointer;font-size:13.5px}
.tabs>input:checked+label{background:var(--ink);color:var(--card);border-color:var(--ink)}
.tabs>input:focus-visible+label{outline:2px solid var(--hi);outline-offset:2px}
.panel{display:none;padding:12px 0 2px}
.text{line-height:2.1}
.t{display:inline-block;vertical-align:top;border-radius:4px;margin:0 1px 5px 0;outline-offset:1px;
cursor:help;line-height:1.35;text-align:center}
.t .w{white-space:pre;padding:1px 2px;min-width:1.1ch;display:block}
.t .l{display:block;font-size:10px;line-height:14px;min-width:18px;padding:0 3px;
background:hsl(var(--h) 70% var(--expert-light)/var(--a));font-variant-numeric:tabular-nums}
.t .l:nth-of-type(2){border-radius:4px 4px 0 0}
.t .l:last-child{border-radius:0 0 4px 4px}
.one .t{background:hsl(var(--h) 70% var(--expert-light)/var(--a))}
.one .t .x{display:block;font-size:9.5px;line-height:11px;opacity:.75;padding-bottom:1px}
.t:hover,.t:focus{outline:2px solid var(--ink);z-index:1}
.t:hover::after,.t:focus::after{content:attr(data-why);position:fixed;right:20px;bottom:20px;
max-width:calc(100vw - 40px);padding:12px 16px;border-radius:10px;background:var(--ink);color:var(--card);
white-space:pre-wrap;
text-align:left;font:12.5px/1.5 var(--mono);
box-shadow:0 6px 30px rgb(0 0 0/.35);z-index:9;pointer-events:none}
.t:focus:not(:hover)::after{z-index:8}
footer{color:var(--soft);font-size:13px}
@media(max-width:640px){main{padding:20px 12px 90px}section{padding:16px 14px}}
@media print{section{break-inside:avoid;box-shadow:none}details{display:block}}
)css";

}  // namespace

std::string page_head() { return kHead; }

std::string page_style(int64_t tabs) {
  std::string style = kStyle;
  for (int64_t tab = 0; tab < tabs; ++tab) {
    absl::StrAppendFormat(&style, "#tab%d:checked~.panel%d{display:block}\n", tab, tab);
  }
  return style;
}

}  // namespace agora::cli
