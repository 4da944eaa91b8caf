// The only file that includes libtorrent: its headers take seconds to compile.
#include "agora/peers/directory/libtorrent_dht.h"

#include <ifaddrs.h>
#include <netdb.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "agora/base/text.h"
#include "agora/peers/directory/record.h"
#include <libtorrent/alert_types.hpp>
#include <libtorrent/bencode.hpp>
#include <libtorrent/disabled_disk_io.hpp>
#include <libtorrent/kademlia/ed25519.hpp>
#include <libtorrent/kademlia/item.hpp>
#include <libtorrent/session.hpp>
#include <libtorrent/session_params.hpp>
#include <libtorrent/settings_pack.hpp>
#include <net/if.h>
#include <openssl/sha.h>

namespace agora::peers {
namespace {

namespace lt = libtorrent;
using Pack = lt::settings_pack;

constexpr int64_t kGetNs = 5 * base::kSecondNs;  // a lookup that is not over by then found nothing
constexpr size_t kGetsMax = 256;                 // under way; more find nothing at once
constexpr int kListenWaitMs = 2000;
constexpr int kUploadBytesPerSecond = 256 * 1024;
// Of one address, before it is ignored for a while: many peers of a lab share one machine.
constexpr int kPacketsPerSecond = 2000;
constexpr int kIgnoredForS = 10;
constexpr int kItemsMax = 4096;  // in our part of the table, 1 KB each
constexpr int kAnnouncedMax = 4096;
constexpr int kSwarmsMax = 64;
constexpr int kItemLifetimeS = 7200;  // the least that libtorrent takes

std::array<unsigned char, 32> sha256(std::string_view what, const SwarmId& swarm, std::string_view more) {
  const std::string all = base::concat(what, base::as_text(swarm.bytes), more);
  std::array<unsigned char, 32> hash{};
  SHA256(reinterpret_cast<const unsigned char*>(all.data()), all.size(), hash.data());
  return hash;
}

lt::sha1_hash info_hash_of(const SwarmId& swarm) {
  const auto hash = sha256("agora swarm 1", swarm, "");
  return lt::sha1_hash(reinterpret_cast<const char*>(hash.data()));
}

// The pair that everybody can make who knows the swarm and where a peer listens.
std::pair<lt::dht::public_key, lt::dht::secret_key> item_keys(const SwarmId& swarm, const Endpoint& at) {
  const auto hash = sha256("agora record of 1", swarm, at.text());
  std::array<char, 32> seed{};
  std::memcpy(seed.data(), hash.data(), seed.size());
  const auto [open, secret] = lt::dht::ed25519_create_keypair(seed);
  return {open, secret};
}

// libtorrent leaves loopback and networks without a way out of its DHT, unless they are named one by one.
std::string listen_interfaces(const Endpoint& listen) {
  const Endpoint here{listen.host, dht_port(listen.port)};
  const bool ipv6 = listen.host == "::";
  if (listen.host != "0.0.0.0" && !ipv6) return here.text();
  std::string all;
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return here.text();
  for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_UP) == 0) continue;
    const int family = at->ifa_addr->sa_family;
    if (family != AF_INET && !(ipv6 && family == AF_INET6)) continue;
    const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    std::array<char, NI_MAXHOST> host{};
    if (getnameinfo(at->ifa_addr, size, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST) != 0) continue;
    all += (all.empty() ? "" : ",") + Endpoint{host.data(), here.port}.text();
  }
  freeifaddrs(first);
  return all;
}

Pack settings_for(const Endpoint& listen) {
  Pack pack;
  pack.set_str(Pack::listen_interfaces, listen_interfaces(listen));
  pack.set_int(Pack::max_retry_port_bind, 0);
  pack.set_bool(Pack::listen_system_port_fallback, false);
  pack.set_str(Pack::dht_bootstrap_nodes, "");
  // Nothing of BitTorrent but the DHT. The TCP socket is opened all the same; it hangs up.
  for (const int off :
       {Pack::enable_incoming_tcp, Pack::enable_outgoing_tcp, Pack::enable_incoming_utp,
        Pack::enable_outgoing_utp, Pack::enable_lsd, Pack::enable_upnp, Pack::enable_natpmp}) {
    pack.set_bool(off, false);
  }
  // Many peers of one machine or lab are many nodes of one address.
  for (const int off :
       {Pack::dht_restrict_routing_ips, Pack::dht_restrict_search_ips, Pack::dht_enforce_node_id,
        Pack::dht_prefer_verified_node_ids, Pack::dht_ignore_dark_internet}) {
    pack.set_bool(off, false);
  }
  pack.set_bool(Pack::enable_dht, true);
  pack.set_int(Pack::dht_block_ratelimit, kPacketsPerSecond);
  pack.set_int(Pack::dht_block_timeout, kIgnoredForS);
  pack.set_int(Pack::dht_upload_rate_limit, kUploadBytesPerSecond);
  pack.set_int(Pack::dht_max_dht_items, kItemsMax);
  pack.set_int(Pack::dht_max_peers, kAnnouncedMax);
  pack.set_int(Pack::dht_max_torrents, kSwarmsMax);
  pack.set_int(Pack::dht_item_lifetime, kItemLifetimeS);
  pack.set_int(Pack::alert_mask,
               lt::alert_category::dht_operation | lt::alert_category::status | lt::alert_category::error);
  return pack;
}

class LibtorrentDht final : public Dht {
 public:
  LibtorrentDht(base::Loop& loop, const Endpoint& listen) : loop_(loop) {
    lt::session_params params(settings_for(listen), {});
    params.disk_io_constructor = lt::disabled_disk_io_constructor;
    session_ = std::make_unique<lt::session>(std::move(params), lt::session_flags_t{});
  }
  ~LibtorrentDht() override { session_.reset(); }  // joins its thread: no more notifications

  Status wait_until_listening();

  void join(const Endpoint& peer) override { session_->add_dht_node({peer.host, dht_port(peer.port)}); }
  void announce(const SwarmId& swarm, const Endpoint& self) override {
    session_->dht_announce(info_hash_of(swarm), self.port);
  }
  void find(const SwarmId& swarm, Found found) override {
    finds_[info_hash_of(swarm)] = std::move(found);
    session_->dht_get_peers(info_hash_of(swarm));
  }
  void put(const SwarmId& swarm, const Endpoint& at, std::vector<std::byte> bytes) override;
  void get(const SwarmId& swarm, const Endpoint& at, Got got) override;

 private:
  using Key = std::array<char, 32>;
  struct Get {
    std::vector<Got> waiting;
    std::vector<std::byte> bytes;
    base::TimerId timer;
  };

  void on_alerts();
  void on_item(const lt::dht_mutable_item_alert& alert);
  void on_peers(const lt::dht_get_peers_reply_alert& alert);
  void end_get(const Key& key);

  base::Loop& loop_;
  std::shared_ptr<bool> alive_ =
      std::make_shared<bool>(true);       // what is posted asks whether it comes too late
  std::map<lt::sha1_hash, Found> finds_;  // by swarm: a process is in few
  std::map<Key, Get> gets_;               // at most kGetsMax
  std::unique_ptr<lt::session> session_;
};

Status LibtorrentDht::wait_until_listening() {
  const int64_t give_up_ns = RealClock().now_ns() + kListenWaitMs * base::kMillisecondNs;
  Status status = absl::UnavailableError("the DHT did not begin to listen; is its port free?");
  bool listening = false;
  while (!listening && RealClock().now_ns() < give_up_ns) {
    session_->wait_for_alert(lt::milliseconds(20));
    std::vector<lt::alert*> alerts;
    session_->pop_alerts(&alerts);
    for (const lt::alert* alert : alerts) {
      if (const auto* failed = lt::alert_cast<lt::listen_failed_alert>(alert)) {
        return absl::UnavailableError(base::concat("the DHT can not listen: ", failed->message(),
                                                   "; choose another port or end the program that has it"));
      }
      listening = listening || lt::alert_cast<lt::listen_succeeded_alert>(alert) != nullptr;
    }
  }
  if (!listening) return status;
  session_->set_alert_notify([this, &loop = loop_, weak = std::weak_ptr<bool>(alive_)] {
    loop.post([this, weak] {
      if (!weak.expired()) on_alerts();
    });
  });
  return absl::OkStatus();
}

void LibtorrentDht::put(const SwarmId& swarm, const Endpoint& at, std::vector<std::byte> bytes) {
  if (bytes.size() > kRecordBytesMax) return;
  const auto [open, secret] = item_keys(swarm, at);
  // On libtorrent's thread, once it knows what is there now.
  const auto write = [open = open, secret = secret, text = std::string(base::as_text(bytes))](
                         lt::entry& item, std::array<char, 64>& signature, int64_t& sequence,
                         const std::string& salt) {
    item = text;
    if (sequence < INT64_MAX) ++sequence;
    std::vector<char> value;
    lt::bencode(std::back_inserter(value), item);
    signature =
        lt::dht::sign_mutable_item(value, salt, lt::dht::sequence_number(sequence), open, secret).bytes;
  };
  session_->dht_put_item(open.bytes, write);
}

void LibtorrentDht::get(const SwarmId& swarm, const Endpoint& at, Got got) {
  if (gets_.size() >= kGetsMax) {
    return loop_.post([got = std::move(got), weak = std::weak_ptr<bool>(alive_)] {
      if (!weak.expired()) got({});
    });
  }
  const Key key = item_keys(swarm, at).first.bytes;
  Get& pending = gets_[key];
  pending.waiting.push_back(std::move(got));
  if (pending.waiting.size() > 1) return;
  pending.timer = loop_.after(kGetNs, [this, key, weak = std::weak_ptr<bool>(alive_)] {
    if (!weak.expired()) end_get(key);
  });
  session_->dht_get_item(key);
}

void LibtorrentDht::on_alerts() {
  std::vector<lt::alert*> alerts;
  session_->pop_alerts(&alerts);
  for (const lt::alert* alert : alerts) {
    if (const auto* item = lt::alert_cast<lt::dht_mutable_item_alert>(alert)) on_item(*item);
    if (const auto* peers = lt::alert_cast<lt::dht_get_peers_reply_alert>(alert)) on_peers(*peers);
  }
}

void LibtorrentDht::on_item(const lt::dht_mutable_item_alert& alert) {
  const auto get = gets_.find(alert.key);
  if (get == gets_.end()) return;
  if (alert.item.type() == lt::entry::string_t && alert.item.string().size() <= kRecordBytesMax) {
    const base::Bytes bytes = base::as_bytes(alert.item.string());
    get->second.bytes.assign(bytes.begin(), bytes.end());
  }
  if (alert.authoritative) end_get(alert.key);  // all that could have it were asked
}

void LibtorrentDht::end_get(const Key& key) {
  auto ended = gets_.extract(key);
  if (ended.empty()) return;
  loop_.cancel(ended.mapped().timer);
  for (const Got& got : ended.mapped().waiting) got(ended.mapped().bytes);
}

void LibtorrentDht::on_peers(const lt::dht_get_peers_reply_alert& alert) {
  const auto find = finds_.find(alert.info_hash);
  if (find == finds_.end()) return;
  std::vector<Endpoint> endpoints;
  for (const lt::tcp::endpoint& peer : alert.peers()) {
    endpoints.push_back({peer.address().to_string(), peer.port()});
  }
  const Found found = find->second;
  found(endpoints);
}

}  // namespace

StatusOr<std::unique_ptr<Dht>> start_libtorrent_dht(base::Loop& loop, const Endpoint& listen) {
  lt::error_code error;
  lt::make_address(listen.host, error);
  if (error) {
    return absl::InvalidArgumentError(
        base::concat("the DHT listens at an address of this machine, not at ", base::in_quotes(listen.host)));
  }
  auto dht = std::make_unique<LibtorrentDht>(loop, listen);
  AGORA_RETURN_IF_ERROR(dht->wait_until_listening());
  return dht;
}

}  // namespace agora::peers
