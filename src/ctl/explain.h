/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Says on stderr why connect() to a socket failed with error (an errno): what was tried, who tried it, whose
 * the socket is, and what to do about it. path as the user wrote it, "@name" for an abstract one. Return:
 * CTL_CONNECT, CTL_DENIED, CTL_TIMEOUT.
 */
int explain_connect(const char *path, int error);
