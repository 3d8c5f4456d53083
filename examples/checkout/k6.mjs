// The load test for teams that use k6: rises to twice the peak, and holds it.
//
//   k6 run -e BASE=http://127.0.0.1:8080 -e PEAK=400 examples/checkout/k6.mjs
//
// It asks a running checkout service for quotes and charges as the demo's own callers do. The thresholds are
// those of `checkout load`: p99 within the callers' two seconds, and no errors. A stale answer wears an `Age`
// header; it is no error, and is counted apart.

import http from 'k6/http';
import { check } from 'k6';
import { Counter, Rate } from 'k6/metrics';

const BASE = __ENV.BASE || 'http://127.0.0.1:8080';
const PEAK = Number(__ENV.PEAK || 400);
const KEYS = 2000;

const stale = new Rate('stale_answers');
const refused = new Counter('refused_charges');

export const options = {
  scenarios: {
    load: {
      executor: 'ramping-arrival-rate',
      startRate: PEAK / 2,
      timeUnit: '1s',
      preAllocatedVUs: PEAK,
      maxVUs: PEAK * 6,
      stages: [
        { target: PEAK, duration: '30s' },
        { target: PEAK, duration: '60s' },
        { target: PEAK * 2, duration: '30s' },
        { target: PEAK * 2, duration: '60s' },
        { target: PEAK, duration: '30s' },
      ],
    },
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    http_req_duration: ['p(99)<2000'],
  },
};

function headers(principal) {
  return {
    Authorization: `Bearer merchant-${String(principal).padStart(2, '0')}`,
    'Content-Type': 'application/json',
  };
}

function read() {
  // Skewed: a few keys are asked for by most.
  const key = Math.floor(KEYS ** Math.random()) - 1;
  const path = ['/quotes', '/methods', '/payments'][key % 3];
  const answer = http.get(`${BASE}${path}/key-${key}`, {
    headers: headers(Math.floor(key / 3) % 50),
    timeout: '2s',
    tags: { kind: 'read' },
  });
  stale.add(answer.headers.Age !== undefined);
  check(answer, { 'the read was answered': (seen) => seen.status === 200 });
}

function charge() {
  const answer = http.post(`${BASE}/charges`, JSON.stringify({ cents: 999 }), {
    headers: { ...headers(Math.floor(Math.random() * 50)), 'Idempotency-Key': `k6-${__VU}-${__ITER}` },
    timeout: '2s',
    tags: { kind: 'charge' },
  });
  refused.add(answer.status === 503 ? 1 : 0);
  check(answer, { 'the charge was made': (seen) => seen.status === 200 });
}

export default function () {
  if (Math.random() < 0.85) {
    read();
  } else {
    charge();
  }
}
