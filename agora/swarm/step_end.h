// Ends a synchronous step at many hosts.
//
//   AGORA_RETURN_IF_ERROR(end_step_at(hosts, touched, step, timeout_ns, baton));
//
// One round trip to each, at the same time; a host that can not be reached is asked once more, one that is
// busy until the time is over (it steps once for a step, however often it is asked). Any thread.
#pragma once

#include <map>

#include "agora/swarm/remote_call.h"
#include "agora/swarm/wire/control_message.h"

namespace agora::swarm {

// timeout_ns 0: sends, and waits for nobody. InvalidArgument: a host found its gradients not finite. A host
// that is gone has taken its gradients with it, which is no error: whoever leads its experts next goes on
// without them. Nor is one that stays busy: it steps with the next step's.
Status end_step_at(const Hosts& hosts, const std::map<peers::PeerId, peers::Endpoint>& touched,
                   const EndStep& step, int64_t timeout_ns, base::Baton* baton);

}  // namespace agora::swarm
