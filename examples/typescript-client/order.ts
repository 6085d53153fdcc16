// Orders the first dish of the first restaurant, pays, and prints the order's id and its payment's status.

import createClient from "openapi-fetch";
import type { paths } from "./tiffin.js";

const baseUrl = (globalThis as { process?: { env: Record<string, string> } }).process?.env.TIFFIN;
const tiffin = createClient<paths>({ baseUrl: baseUrl ?? "http://localhost:8000" });

const key = () => ({ "Idempotency-Key": crypto.randomUUID() });

function must<T>(answer: { data?: T; error?: { code: string; title: string } }): T {
  if (answer.data === undefined) {
    throw new Error(`${answer.error?.code}: ${answer.error?.title}`);
  }
  return answer.data;
}

const { restaurants } = must(await tiffin.GET("/api/restaurants"));
const restaurantId = restaurants[0]!.id;
const menu = await tiffin.GET("/api/restaurants/{restaurant_id}/menu", {
  params: { path: { restaurant_id: restaurantId } },
});
const dishId = must(menu).dishes[0]!.id;

// The same key again, after a time-out say, is the same order.
const opened = must(
  await tiffin.POST("/api/payments/create-intent", {
    params: { header: key() },
    body: {
      restaurantId,
      items: [{ dishId, quantity: 1 }],
      contact: { name: "Asha Rao", email: "asha@example.com", phone: "+919800000000" },
      address: { line1: "12 MG Road", line2: "", city: "Bengaluru", postalCode: "560001" },
    },
  }),
);
if (!("clientSecret" in opened)) {
  throw new Error(opened.detail); // 202: it is under way
}

// In a shop Stripe.js gives the payment method; this is one of Stripe's for tests.
const paid = must(
  await tiffin.POST("/api/payments/confirm", {
    params: { header: key() },
    headers: { Authorization: `Bearer ${opened.orderToken}` },
    body: { orderId: opened.orderId, paymentMethodId: "pm_card_visa" },
  }),
);
console.log(opened.orderId, paid.status);
