// The table "reference": every inner loop written plainly, one element at a time.
#pragma once

#include "agora/kernels/table.h"

namespace agora::kernels::reference {

Table table();

}  // namespace agora::kernels::reference
