/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* mhd_epoll — resuming many connections at one time. */
#ifndef HTTP_MHD_EPOLL_H
#define HTTP_MHD_EPOLL_H

/* Between the two, MHD_resume_connection() on this thread marks connections and wakes nobody; the
   second wakes each event thread concerned, once. */
void mhd_wake_hold(void);
void mhd_wake_release(void);

#endif
