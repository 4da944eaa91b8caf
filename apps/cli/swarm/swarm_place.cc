#include "apps/cli/swarm/swarm_place.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agora/base/text.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/strict_json.h"
#include <nlohmann/json.hpp>

#include "apps/cli/flag_checks.h"

namespace agora::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr char kFile[] = "swarm.json";
constexpr char kRuns[] = "runs";
constexpr int64_t kFileBytesMax = 1 << 20;

StatusOr<peers::Endpoint> optional_endpoint(const std::string& text) {
  if (text.empty()) return peers::Endpoint{};
  return peers::parse_endpoint(text);
}

StatusOr<SwarmPlace> place_of(const nlohmann::json& json) {
  SwarmPlace place;
  json.at("name").get_to(place.name);
  json.at("swarm_key").get_to(place.swarm_key_file);
  place.data = json.value("data", "");  // older files do not say it
  place.room = json.value("room", 0);
  place.rows = json.value("rows", "");
  if (const auto started = json.find("started"); started != json.end()) {
    place.started = {.hosts = started->at("hosts").get<int>(),
                     .trainers = started->at("trainers").get<int>(),
                     .servers = started->at("servers").get<int>()};
  }
  for (const nlohmann::json& entry : json.at("peers")) {
    PlacedPeer peer;
    entry.at("name").get_to(peer.name);
    entry.at("pid").get_to(peer.pid);
    AGORA_ASSIGN_OR_RETURN(peer.at, peers::parse_endpoint(entry.at("at").get<std::string>()));
    AGORA_ASSIGN_OR_RETURN(peer.http, optional_endpoint(entry.at("http").get<std::string>()));
    place.peers.push_back(std::move(peer));
  }
  return place;
}

// An `agora up` that could not start leaves one without.
bool has_peers(const std::string& dir) {
  const StatusOr<SwarmPlace> place = read_place(dir);
  return place.ok() && !place->peers.empty();
}

// The folder under runs/ whose swarm.json is the youngest that names peers; empty: there is none.
std::string latest_dir() {
  std::string latest;
  fs::file_time_type latest_time;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(kRuns, ignored)) {
    std::error_code missing;
    const fs::file_time_type time = fs::last_write_time(entry.path() / kFile, missing);
    if (missing || (!latest.empty() && time <= latest_time) || !has_peers(entry.path())) continue;
    latest = entry.path().string();
    latest_time = time;
  }
  return latest;
}

}  // namespace

void add_place_flags(CLI::App& command, PlaceFlags& flags) {
  command.add_option("--join", flags.join, "HOST:PORT of any living peer; may be given several times")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_option("--run", flags.dir, "folder of an `agora up`; empty: the latest under runs/");
  command.add_option("--swarm-key", flags.swarm_key_file, "file with the key of a private swarm");
  command.add_option("--wait", flags.seconds, "seconds to wait for an answer")->check(seconds_above_zero());
}

Status text_of_swarm_expected(const std::string& command) {
  return absl::InvalidArgumentError(
      absl::StrCat("expected agora ", command,
                   " --swarm \"text\": with --swarm no model is named, --run or --join says which swarm"));
}

StatusOr<std::optional<peers::SwarmKey>> swarm_key_in(const std::string& file) {
  if (file.empty()) return std::nullopt;
  const StatusOr<peers::SwarmKey> key = peers::load_swarm_key(file);
  if (key.ok()) return *key;
  return base::about("--swarm-key", key.status());
}

Status write_place(const std::string& dir, const SwarmPlace& place) {
  Json list = Json::array();
  for (const PlacedPeer& peer : place.peers) {
    list.push_back({{"name", peer.name},
                    {"pid", peer.pid},
                    {"at", peer.at.text()},
                    {"http", peer.http.empty() ? "" : peer.http.text()}});
  }
  Json json{{"name", place.name}, {"swarm_key", place.swarm_key_file}, {"data", place.data}};
  json["room"] = place.room;
  json["rows"] = place.rows;
  if (place.started) {
    json["started"] = {{"hosts", place.started->hosts},
                       {"trainers", place.started->trainers},
                       {"servers", place.started->servers}};
  }
  json["peers"] = std::move(list);
  return weights::write_file_atomic(absl::StrCat(dir, "/", kFile),
                                    json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

StatusOr<SwarmPlace> read_place(const std::string& dir) {
  const std::string file = absl::StrCat(dir, "/", kFile);
  const StatusOr<std::string> text = weights::read_file(file, kFileBytesMax);
  if (!text.ok()) {
    return absl::NotFoundError(absl::StrCat(file,
                                            ": expected the swarm of an `agora up`; start one, or name a "
                                            "living peer by --join HOST:PORT"));
  }
  AGORA_ASSIGN_OR_RETURN(const nlohmann::json json, weights::parse_json(*text, file));
  try {  // the library reports a missing key or a wrong type by exception
    AGORA_ASSIGN_OR_RETURN(SwarmPlace place, place_of(json));
    place.dir = dir;
    return place;
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": expected what `agora up` writes: ", error.what()));
  }
}

StatusOr<SwarmPlace> find_place(const PlaceFlags& flags) {
  SwarmPlace place;
  if (flags.join.empty()) {
    const std::string dir = flags.dir.empty() ? latest_dir() : flags.dir;
    if (dir.empty()) {
      return absl::NotFoundError(
          "expected a swarm in a folder under runs/: start one with `agora up`, name its folder by --run "
          "DIR, "
          "or a living peer by --join HOST:PORT");
    }
    AGORA_ASSIGN_OR_RETURN(place, read_place(dir));
  }
  for (const std::string& text : flags.join) {
    AGORA_ASSIGN_OR_RETURN(peers::Endpoint at, peers::parse_endpoint(text));
    place.peers.push_back({.name = text, .pid = 0, .at = std::move(at), .http = {}});
  }
  if (!flags.swarm_key_file.empty()) place.swarm_key_file = flags.swarm_key_file;
  return place;
}

}  // namespace agora::cli
